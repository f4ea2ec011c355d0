import LibPQ
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// Whole workers over a real stream and the real lease store, in this process.
@Suite("A worker on PostgreSQL", .sharesMachine)
struct PostgresWorkerTests {
  struct Poison: Error {}

  /// What the processors of a test have handled.
  final class Handled: Sendable {
    private let changes = Mutex<[(shardID: String, change: Change)]>([])
    var all: [(shardID: String, change: Change)] { changes.withLock { $0 } }
    func add(_ shardID: String, _ change: Change) { changes.withLock { $0.append((shardID, change)) } }

    /// The ids of the items, in the order in which they were handled.
    var ids: [Int64] {
      struct Keys: Decodable { var id: Int64 }
      return all.compactMap { try? $0.change.keys.decode(as: Keys.self).id }
    }
  }

  struct Collector: RecordProcessor {
    var shardID: String
    var handled: Handled
    var fails: @Sendable (Change) -> Bool = { _ in false }

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      for record in batch {
        guard let change = record.change else { continue }
        if fails(change) { throw RecordFailure(record, underlying: Poison()) }
        handled.add(shardID, change)
      }
      try await checkpointer.checkpoint()
    }
  }

  /// Counts what a worker tells of records that were trimmed.
  struct Trimmed: WorkerEvents {
    let count = SharedCounter()

    func recordsTrimmed(_ grant: LeaseGrant, after position: Checkpoint, error: TidemarkError) {
      count.add()
    }
  }

  private func run(
    _ database: StreamDatabase,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    events: (any WorkerEvents)? = nil,
    processor: @escaping Worker.ProcessorFactory,
    _ body: () async throws -> Void
  ) async throws {
    let worker = try Worker(
      application: "test",
      stream: "items",
      database: database.url,
      configuration: configuration,
      events: events,
      logger: StreamDatabase.logger,
      processor: processor
    )
    let group = ServiceGroup(services: [worker], logger: StreamDatabase.logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      try await body()
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }

  private func items() async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE items (id bigint PRIMARY KEY, note text)")
    try await database.admin.enable(table: "items")
    return database
  }

  @Test("a change of 10 MB reaches the processor whole")
  func large() async throws {
    let database = try await items()
    let handled = Handled()
    try await run(database, processor: { Collector(shardID: $0.shardID, handled: handled) }) {
      try await database.run(
        "INSERT INTO items SELECT 1, string_agg(md5(n::text), '') FROM generate_series(1, 327680) n"
      )
      try await eventually("it is handled") { handled.all.count == 1 }
    }
    let size = try #require(handled.all.first?.change.newImage?.bytes.count)
    #expect(size > 10 * 1024 * 1024)
  }

  @Test("a processor that throws for ever holds up its shard and no other")
  func poison() async throws {
    let database = try await items()
    let handled = Handled()
    try await database.run("INSERT INTO items SELECT n, 'n' FROM generate_series(1, 200) n")
    try await run(
      database,
      processor: {
        Collector(shardID: $0.shardID, handled: handled) { $0.keys.description == #"{"id":100}"# }
      }
    ) {
      let poisoned = try await database.text(
        "SELECT s.shard_id FROM tidemark.shard s WHERE tidemark.partition_hash('{\"id\":100}') "
          + "BETWEEN s.hash_start AND s.hash_end"
      )
      try await eventually("the other shards are read to their heads") {
        let leases = try await database.pool.query(
          """
          SELECT l.shard_id, l.checkpoint, max(r.sequence_number)::text FROM tidemark_leases.lease l
          JOIN tidemark.shard s USING (shard_id) JOIN tidemark.log_1 r USING (shard_ordinal) GROUP BY 1, 2
          """
        )
        let rows = try leases.map { try $0.decode((String, String, String).self) }
        return rows.count == 4 && rows.allSatisfy { $0.0 == poisoned || $0.1 == $0.2 }
      }
      #expect(!handled.ids.contains(100))
    }
  }

  @Test("what has exhausted its attempts is in the dead-letter table with its payload, and once")
  func deadLetter() async throws {
    let database = try await items()
    let handled = Handled()
    var configuration = WorkerConfiguration()
    configuration.failurePolicy.maximumAttempts = 2
    configuration.failurePolicy.backoff.initial = .milliseconds(5)
    try await database.run("INSERT INTO items SELECT n, 'note ' || n FROM generate_series(1, 50) n")
    try await run(
      database,
      configuration: configuration,
      processor: { Collector(shardID: $0.shardID, handled: handled) { $0.keys.description == #"{"id":7}"# } }
    ) {
      try await eventually("all others are handled") { Set(handled.ids).count == 49 }
    }
    #expect(handled.ids.count == 49)
    let row = try await database.pool.query(
      "SELECT keys::text, new_image->>'note', attempts, reason FROM tidemark_leases.dead_letter"
    )
    #expect(row.count == 1)
    let (keys, note, attempts, reason) = try row[0].decode((String, String, Int32, String).self)
    #expect(keys == #"{"id":7}"#)
    #expect(note == "note 7")
    #expect(attempts == 2)
    #expect(reason.contains("Poison"))
  }

  @Test("a checkpoint in the user's transaction is rolled back with it")
  func rollback() async throws {
    struct Once: RecordProcessor {
      var pool: PQPool
      var handled: Handled
      var shardID: String
      var hasFailed = false

      mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
        let fails = !hasFailed
        hasFailed = true
        try await pool.transaction { transaction in
          try await transaction.execute("UPDATE seen SET count = count + \(Int64(batch.count))")
          try await checkpointer.checkpoint(in: transaction)
          if fails { throw Poison() }
        }
        for record in batch { if let change = record.change { handled.add(shardID, change) } }
      }
    }
    let database = try await items()
    try await database.run("CREATE TABLE seen (count bigint); INSERT INTO seen VALUES (0)")
    try await database.run("INSERT INTO items SELECT n, 'n' FROM generate_series(1, 100) n")
    let handled = Handled()
    try await run(
      database,
      processor: { Once(pool: database.pool, handled: handled, shardID: $0.shardID) }
    ) {
      try await eventually("all are handled") { handled.ids.count == 100 }
    }
    #expect(Set(handled.ids).count == 100)
    #expect(try await database.number("SELECT count FROM seen") == 100)
  }

  @Test(
    "a worker that comes too late for retention stops at the gap, or skips it, loudly either way",
    arguments: [TrimmedDataPolicy.stop, .skipToHorizon]
  )
  func trimmed(policy: TrimmedDataPolicy) async throws {
    let database = try await items()
    try await database.admin.alter("items") { $0.retention = .seconds(2) }
    let handled = Handled()
    var configuration = WorkerConfiguration()
    configuration.reading.trimmedData = policy
    let events = Trimmed()
    let processor: Worker.ProcessorFactory = { Collector(shardID: $0.shardID, handled: handled) }
    try await run(database, configuration: configuration, processor: processor) {
      try await database.run("INSERT INTO items VALUES (1, 'read')")
      try await eventually("the first is handled") { handled.ids == [1] }
    }
    try await database.run("INSERT INTO items SELECT 1, 'gone' ON CONFLICT (id) DO UPDATE SET note = 'gone'")
    try await database.stream("items").sequenceCommitted()
    try await eventually("it is dropped unread") {
      try await database.admin.maintain()
      return try await database.number("SELECT count(*) FROM tidemark.log_1") == 0
    }
    try await run(database, configuration: configuration, events: events, processor: processor) {
      try await eventually("the gap is reported") { events.count.value == 1 }
      try await database.run("UPDATE items SET note = 'later'")
      try await eventually("what the policy says happens") {
        switch policy {
        case .skipToHorizon: handled.all.count == 2
        case .stop:
          try await database.number(
            "SELECT count(*) FROM tidemark_leases.lease WHERE stopped_reason LIKE '%retention%'"
          ) == 1
        }
      }
    }
    #expect(
      handled.all.map { $0.change.newImage?.description.contains("gone") } == handled.all.map { _ in false }
    )
    #expect(handled.all.count == (policy == .stop ? 1 : 2))
  }

  @Test("a worker that starts at a sequence number begins with just that record")
  func atSequenceNumber() async throws {
    let database = try await items()
    try await database.run("INSERT INTO items SELECT n, 'n' FROM generate_series(1, 100) n")
    // Records on both sides of a split.
    try await database.stream("items").sequenceCommitted()
    try await database.admin.split(try await database.admin.describe("items").shards[0].id, of: "items")
    try await database.run("INSERT INTO items SELECT n, 'n' FROM generate_series(101, 200) n")
    try await database.stream("items").sequenceCommitted()
    let numbers = try await database.pool.query(
      "SELECT sequence_number FROM tidemark.log_1 ORDER BY sequence_number"
    ).map { try $0.decode(Int64.self) }
    var configuration = WorkerConfiguration()
    configuration.reading.initialPosition = .atSequenceNumber(SequenceNumber(UInt64(numbers[50])))
    let handled = Handled()
    try await run(
      database,
      configuration: configuration,
      processor: { Collector(shardID: $0.shardID, handled: handled) }
    ) {
      try await eventually("the rest is handled") { handled.ids.count == 150 }
    }
    #expect(handled.ids.sorted() == Array(51...200))
  }

  @Test("an unknown stream ends the worker with an error that says what to do")
  func unknownStream() async throws {
    let database = try await StreamDatabase.make()
    let worker = try Worker(
      application: "test",
      stream: "nothing",
      database: database.url,
      logger: StreamDatabase.logger,
      processor: { Collector(shardID: $0.shardID, handled: Handled()) }
    )
    let error = await #expect(throws: TidemarkError.self) { try await worker.run() }
    #expect(error?.code == .streamNotFound)
    #expect(error?.advice?.contains("stream enable") == true)
  }

  @Test("what waiting does not mend ends the worker at its start with a clear error")
  func noDatabase() async throws {
    let server = try await TestServer.shared()
    let errors: [(String, TidemarkError.Code, String)] = [
      (try await server.makeDatabase(), .schemaMismatch, "tidemark migrate"),
      (server.url(database: "no_such_database"), .databaseNotFound, "create it"),
      ("postgresql://no..such..host/shop", .hostNotFound, "Check the host"),
    ]
    for (url, code, advice) in errors {
      let worker = try Worker(
        application: "test",
        stream: "items",
        database: url,
        logger: StreamDatabase.logger,
        processor: { Collector(shardID: $0.shardID, handled: Handled()) }
      )
      let error = await #expect(throws: TidemarkError.self) { try await worker.run() }
      #expect(error?.code == code && error?.isRetryable == false)
      #expect(error?.advice?.contains(advice) == true)
    }
  }

  @Test("a role that may not register ends the worker with the command that lets it")
  func noRights() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("items", shardCount: 1)
    let roles = StreamRoles(database: database)
    try await roles.create("reader")
    // It may find the stream, and has no right on leases.
    try await database.admin.grant(.administrator, to: roles.name("reader"))
    let worker = try Worker(
      application: "test",
      stream: "items",
      database: roles.url("reader"),
      logger: StreamDatabase.logger,
      processor: { Collector(shardID: $0.shardID, handled: Handled()) }
    )
    let error = await #expect(throws: TidemarkError.self) { try await worker.run() }
    #expect(error?.code == .permissionDenied)
    #expect(error?.advice?.contains("tidemark grant consumer \(roles.name("reader"))") == true)
    try await roles.drop("reader")
  }

  @Test("a worker waits for a server that takes no more connections")
  func crowded() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("items", shardCount: 1)
    let roles = StreamRoles(database: database)
    try await roles.create("crowd")
    try await database.admin.grant(.consumer, to: roles.name("crowd"))
    try await database.leases().grant(.consumer, to: roles.name("crowd"), application: "test")
    try await database.run("ALTER ROLE \(roles.name("crowd")) CONNECTION LIMIT 0")
    let log = CollectedLog()
    let worker = try Worker(
      application: "test",
      stream: "items",
      database: roles.url("crowd"),
      logger: log.logger,
      processor: { Collector(shardID: $0.shardID, handled: Handled()) }
    )
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await worker.run() }
      try await eventually("the worker says what it waits for") {
        log.lines.contains { $0.contains("trying again") && $0.contains("tooManyConnections") }
      }
      try await database.run("ALTER ROLE \(roles.name("crowd")) CONNECTION LIMIT -1")
      try await eventually("the worker owns a lease") {
        try await database.number("SELECT count(owner) FROM tidemark_leases.lease") == 1
      }
      group.cancelAll()
      while let result = await group.nextResult() {
        if case .failure(let error) = result, !(error is CancellationError) { throw error }
      }
    }
    try await database.run(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '\(roles.name("crowd"))'"
    )
    try await roles.drop("crowd")
  }

  @Test("a URL that libpq cannot read is refused at once, without its password")
  func badURL() throws {
    let error = #expect(throws: TidemarkError.self) {
      _ = try Worker(
        application: "test",
        stream: "items",
        database: "postgresql://u:geheim@h/db?no_such_setting=1",
        processor: { Collector(shardID: $0.shardID, handled: Handled()) }
      )
    }
    #expect(error?.code == .invalidConfiguration)
    #expect("\(String(describing: error))".contains("geheim") == false)
  }
}
