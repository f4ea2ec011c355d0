import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@testable import TidemarkStreams

@Suite("Sequencing committed changes", .sharesMachine)
struct StreamSequencingTests {
  private func makeItems(shardCount: Int = 1) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: shardCount)
    return database
  }

  @Test("A long-open writing transaction holds back nobody else's changes; its own come when it commits")
  func longOpenTransaction() async throws {
    let database = try await makeItems()
    let stream = try database.stream("item")
    let other = try StreamDatabase.makePool(database.url, connections: 1)
    let reader = try await stream.reader(of: try await stream.shards()[0].id, after: .trimHorizon)
    try await pumping(stream) {
      try await database.pool.transaction { transaction in
        // It holds the wake-up key, too.
        try await transaction.execute("INSERT INTO item VALUES (0)")
        for id in 1...20 {
          try await other.execute("INSERT INTO item VALUES (\(id))")
          var keys: [String] = []
          while keys.isEmpty {
            keys = try await reader.nextPage(maximumRecords: 10).records.map(\.partitionKey)
          }
          #expect(keys == [#"{"id":\#(id)}"#])
        }
      }
      var keys: [String] = []
      while keys.isEmpty { keys = try await reader.nextPage(maximumRecords: 10).records.map(\.partitionKey) }
      #expect(keys == [#"{"id":0}"#])
    }
  }

  @Test(
    "A long-open snapshot does not make steps look again at what they have moved; a long-open writer does"
  )
  func inboxFloor() async throws {
    let database = try await makeItems()
    let id = try await database.stream("item").identified().id
    let other = try StreamDatabase.makePool(database.url, connections: 1)
    let items = SharedCounter()
    // Moves what is there, and returns after how many rows the next step starts.
    @Sendable func step() async throws -> Int64 {
      items.add()
      try await other.execute("INSERT INTO item VALUES (\(items.value))")
      #expect(try await StreamAdvance.advance(id, from: nil, on: other).moved > 0)
      return try await database.number("SELECT inbox_floor FROM tidemark.step ORDER BY head DESC LIMIT 1")
    }
    // Transactions of other databases count, too, and these end.
    try await database.pool.transaction(isolation: .repeatableRead, readOnly: true) { transaction in
      _ = try await transaction.query("SELECT count(*) FROM item")
      try await eventually("the floor rises") { try await step() > 0 }
    }
    let written = try await database.pool.transaction { transaction in
      try await transaction.execute("INSERT INTO item VALUES (0)")
      let written = Int64(items.value + 1)
      for _ in 1...5 { #expect(try await step() < written) }
      return written
    }
    try await eventually("the floor rises again") { try await step() > written }
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_\(id)") == items.value + 1)
  }

  @Test(
    "A step whose transaction is older than a writer's does not pass what that writer has yet to commit",
    arguments: [
      "SELECT moved FROM tidemark.advance(1)",
      """
      SELECT moved FROM tidemark.advance_streams(
        '{1}', '{NULL}', '{NULL}', ARRAY[NULL]::xid8[], 2000, 8388608)
      """,
    ]
  )
  func oldTransaction(statement: String) async throws {
    let database = try await makeItems()
    @Sendable func moved(by step: PQTransaction) async throws -> Int {
      try await step.query(PQStatement(statement))[0].decode(Int.self)
    }
    let writer = try StreamDatabase.makePool(database.url, connections: 1)
    try await database.pool.transaction { step in
      try await step.execute("SELECT pg_current_xact_id()")
      try await writer.transaction { slow in
        try await slow.execute("INSERT INTO item VALUES (1)")
        try await database.run("INSERT INTO item VALUES (2)")
        #expect(try await moved(by: step) == 1)
        try await step.execute("COMMIT AND CHAIN")
        try await database.run("INSERT INTO item VALUES (3)")
        #expect(try await moved(by: step) == 1)
        try await step.execute("COMMIT AND CHAIN")
      }
      #expect(try await moved(by: step) == 1)
    }
  }

  @Test("A step does not pass a put that has taken its place and is paused before it writes")
  func pausedPut() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events", shardCount: 1)
    let id = try await database.stream("events").identified().id
    let admin = PostgresStreamAdmin(try StreamDatabase.makePool(database.url, connections: 1))
    try await database.run(
      """
      CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.partition_key = 'paused' THEN
          PERFORM pg_advisory_xact_lock(1);
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER pause BEFORE INSERT ON tidemark.inbox_\(id) FOR EACH ROW EXECUTE FUNCTION pause()
      """
    )
    // A sequence's first number, and every 33rd, has a transaction's number, too.
    try await database.admin.put([1], partitionKey: "k", to: "events")
    #expect(try await StreamAdvance.advance(id, from: nil, on: database.pool).moved == 1)
    try await withThrowingTaskGroup(of: Void.self) { group in
      try await database.pool.transaction { transaction in
        try await transaction.execute("SELECT pg_advisory_xact_lock(1)")
        group.addTask { try await admin.put([0], partitionKey: "paused", to: "events") }
        try await eventually("the put is paused") {
          try await database.number(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
              + "(SELECT oid FROM pg_database WHERE datname = current_database())"
          ) == 1
        }
        for _ in 1...5 {
          try await database.admin.put([1], partitionKey: "k", to: "events")
          #expect(try await StreamAdvance.advance(id, from: nil, on: database.pool).moved == 1)
        }
      }
      try await group.waitForAll()
    }
    #expect(try await StreamAdvance.advance(id, from: nil, on: database.pool).moved == 1)
  }

  @Test("A step that is killed at work loses nothing and doubles nothing")
  func killedStep() async throws {
    let database = try await makeItems(shardCount: 2)
    try await database.run("INSERT INTO item SELECT i FROM generate_series(1, 30000) AS i")
    let stream = try database.stream("item")
    let id = try await stream.identified().id
    let kills = SharedCounter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while true {
          do {
            if try await StreamAdvance.advance(id, from: nil, on: stream.pool).moved == 0 { break }
          } catch let error as TidemarkError where error.isRetryable {
            kills.add()
          }
        }
      }
      group.addTask {
        // Each kill hits a step at another point of its work.
        for _ in 0..<12 {
          try await eventually("a step runs, or all is done") {
            let killed = try await database.number(
              """
              SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE datname = current_database() AND state = 'active' AND query LIKE '%tidemark.advance(%'
                AND pid <> pg_backend_pid()
              """
            )
            if killed > 0 { return true }
            return try await database.number("SELECT count(*) FROM tidemark.inbox_\(id)") == 0
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(kills.value > 0)
    let records = try await stream.readAll()
    #expect(records.count == 30000)
    #expect(Set(records.map(\.partitionKey)).count == 30000)
  }

  @Test("A caller that finds another at work does not wait, and what was moved comes with its commit")
  func busyCaller() async throws {
    let database = try await makeItems()
    let id = try await database.stream("item").identified().id
    try await database.run("INSERT INTO item VALUES (1)")
    try await database.pool.transaction { transaction in
      let mine = try await StreamAdvance.advance(id, from: nil, on: transaction)
      #expect(mine.moved == 1 && !mine.isBusy)
      let theirs = try await StreamAdvance.advance(id, from: nil, on: database.pool)
      #expect(theirs.moved == 0 && theirs.isBusy)
    }
    let after = try await StreamAdvance.advance(id, from: 0, on: database.pool)
    #expect(after.moved == 0 && !after.isBusy && after.shardHeads == [0: after.head])
  }

  @Test(
    "A turn that another session keeps is reported after a while, with that session, and again half a minute later"
  )
  func keptTurn() async throws {
    let database = try await makeItems()
    let (log, clock) = (CollectedLog(), ManualClock())
    let stream = PostgresStream("item", pool: database.pool, clock: clock, logger: log.logger)
    let generation = try await stream.identified()
    func told(after seconds: Double) async throws -> Int {
      for _ in 0..<Int(seconds / 2.5) {
        clock.advance(by: .seconds(2.5))
        #expect(try await stream.advance(generation).isBusy)
      }
      return log.lines.count
    }
    try await database.pool.transaction { transaction in
      let holder = try await transaction.query("SELECT pg_backend_pid()")[0].decode(Int32.self)
      _ = try await StreamAdvance.advance(generation.id, from: nil, on: transaction)
      _ = try await stream.advance(generation)
      #expect(try await told(after: 2.5) == 0)
      #expect(try await told(after: 2.5) == 1)
      #expect(log.lines.allSatisfy { $0.contains("held by: the process \(holder) ") }, "\(log.lines)")
      #expect(log.lines.allSatisfy { $0.contains("pg_terminate_backend(\(holder))") })
      #expect(try await told(after: 27.5) == 1)
      #expect(try await told(after: 2.5) == 2)
    }
    #expect(try await !stream.advance(generation).isBusy)
    try await database.pool.transaction { transaction in
      _ = try await StreamAdvance.advance(generation.id, from: nil, on: transaction)
      #expect(try await told(after: 5) == 2)
    }
  }

  @Test("A step does not run while somebody changes the shards")
  func changedShards() async throws {
    let database = try await makeItems()
    let id = try await database.stream("item").identified().id
    try await database.run("INSERT INTO item VALUES (1)")
    let other = try StreamDatabase.makePool(database.url, connections: 1, settings: ["lock_timeout": "2s"])
    try await database.pool.transaction { transaction in
      try await transaction.execute(
        "SELECT tidemark.split_shard(s.stream_id, s.shard_id) FROM tidemark.shard AS s"
      )
      let step = try await StreamAdvance.advance(id, from: nil, on: other)
      #expect(step.moved == 0 && step.isBusy)
    }
    await other.close()
    #expect(try await StreamAdvance.advance(id, from: nil, on: database.pool).moved == 1)
  }

  @Test("A step refuses a transaction whose snapshot is older than its lock")
  func isolation() async throws {
    let database = try await makeItems()
    let id = try await database.stream("item").identified().id
    let error = try await #require(throws: TidemarkError.self) {
      try await database.pool.transaction(isolation: .repeatableRead) { transaction in
        try await StreamAdvance.advance(id, from: nil, on: transaction)
      }
    }
    #expect(error.code == .unsupported)
  }

  @Test(
    "Whatever takes the step's lock refuses a transaction whose snapshot is older than that",
    arguments: [
      "split_shard($1, '')", "merge_shards($1, '', '')", "disable_stream($1)", "maintain_stream($1)",
    ]
  )
  func isolationOfChanges(call: String) async throws {
    let database = try await makeItems()
    let id = try await database.stream("item").identified().id
    let error = try await #require(throws: PQError.self) {
      try await database.pool.transaction(isolation: .serializable) { transaction in
        _ = try await transaction.query(PQStatement("SELECT tidemark.\(call)", id))
      }
    }
    #expect(error.sqlState == "TM003")
  }

  @Test("A step is bounded in rows and in bytes, and goes on where it stopped")
  func boundedSteps() async throws {
    let database = try await makeItems()
    let id = try await database.stream("item").identified().id
    try await database.run("INSERT INTO item SELECT i FROM generate_series(1, 4500) AS i")
    for expected in [2000, 2000, 500, 0] {
      #expect(try await StreamAdvance.advance(id, from: nil, on: database.pool).moved == expected)
    }
    try await database.admin.create("events", shardCount: 1)
    let events = try await database.stream("events").identified().id
    for _ in 0..<3 {
      try await database.admin.put([UInt8](repeating: 1, count: 5 << 20), partitionKey: "k", to: "events")
    }
    for expected in [2, 1, 0] {
      #expect(try await StreamAdvance.advance(events, from: nil, on: database.pool).moved == expected)
    }
  }

  @Test(
    "What is new is reported by shard since the caller's last answer, and in general when that is long ago"
  )
  func news() async throws {
    let database = try await makeItems(shardCount: 64)
    let id = try await database.stream("item").identified().id
    try await database.run("INSERT INTO item VALUES (1)")
    let first = try await StreamAdvance.advance(id, from: nil, on: database.pool)
    #expect(first.shardHeads == nil)
    let nothing = try await StreamAdvance.advance(id, from: first.head, on: database.pool)
    #expect(nothing.shardHeads == [:] && nothing.head == first.head)
    try await database.run("INSERT INTO item SELECT i FROM generate_series(2, 9) AS i")
    let next = try await StreamAdvance.advance(id, from: first.head, on: database.pool)
    let expected = try await database.number(
      "SELECT count(DISTINCT shard_ordinal) FROM tidemark.log_\(id) WHERE sequence_number > \(first.head)"
    )
    #expect(next.shardHeads?.count == Int(expected))
    #expect(next.shardHeads?.values.max() == next.head)
    try await database.run(
      """
      UPDATE tidemark.step SET moved_at = moved_at - interval '1 hour';
      UPDATE tidemark.stream SET measured_at = measured_at - interval '1 hour'
      """
    )
    try await database.admin.maintain()
    #expect(try await StreamAdvance.advance(id, from: first.head, on: database.pool).shardHeads == nil)
    #expect(try await StreamAdvance.advance(id, from: next.head, on: database.pool).shardHeads == [:])
  }

  @Test("A look at many streams tells of what it has moved, and of what others have moved before")
  func newsOfManyStreams() async throws {
    let database = try await makeItems(shardCount: 64)
    let id = try await database.stream("item").identified().id
    func look(from seen: Int64?) async throws -> (moved: Int, head: Int64, shards: [Int32]?) {
      try await database.pool.query(
        """
        SELECT moved, head, changed_shards FROM tidemark.advance_streams(
          \([id]), \([seen]), '{NULL}', ARRAY[NULL]::xid8[], 2000, 8388608)
        """
      )[0].decode((Int, Int64, [Int32]?).self)
    }
    func shards(after head: Int64) async throws -> Int {
      Int(
        try await database.number(
          "SELECT count(DISTINCT shard_ordinal) FROM tidemark.log_\(id) WHERE sequence_number > \(head)"
        )
      )
    }
    try await database.run("INSERT INTO item VALUES (1)")
    let first = try await look(from: nil)
    #expect(first.moved == 1 && first.shards == nil)
    try await database.run("INSERT INTO item SELECT i FROM generate_series(2, 9) AS i")
    let own = try await look(from: first.head)
    #expect(own.moved == 8)
    #expect(own.shards?.count == (try await shards(after: first.head)))
    try await database.run("INSERT INTO item SELECT i FROM generate_series(10, 19) AS i")
    #expect(try await StreamAdvance.advance(id, from: nil, on: database.pool).moved == 10)
    try await database.run("INSERT INTO item VALUES (20)")
    let all = try await look(from: own.head)
    #expect(all.moved == 1)
    #expect(all.shards?.count == (try await shards(after: own.head)))
    #expect(try await look(from: all.head).shards == [])
  }

  @Test("A reader in one process is woken by a writer in another within milliseconds")
  func wakeUpTime() async throws {
    let database = try await makeItems()
    // Polling alone would take much longer.
    let streams = try (0..<2).map { _ in
      PostgresStream(
        "item",
        pool: try StreamDatabase.makePool(database.url, connections: 3),
        pollInterval: .seconds(20),
        logger: StreamDatabase.logger
      )
    }
    let shard = try await streams[0].shards()[0].id
    let readers = [
      try await streams[0].reader(of: shard, after: .latest),
      try await streams[1].reader(of: shard, after: .latest),
    ]
    try await pumping(streams[0], streams[1]) {
      var times: [Duration] = []
      for id in 0..<50 {
        // Both pumps have found nothing and wait.
        try await Task.sleep(for: .milliseconds(20))
        let written = ContinuousClock.now
        try await database.pool.execute("INSERT INTO item VALUES (\(id))")
        for reader in readers {
          while try await reader.nextPage(maximumRecords: 10).records.isEmpty {}
          times.append(written.duration(to: .now))
        }
      }
      #expect(times.sorted()[times.count / 2] < .seconds(10), "only polling found it")
    }
  }
}
