import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("Enabling, disabling and naming streams", .sharesMachine)
struct StreamLifecycleTests {
  @Test(
    "A table that cannot have a stream is refused with the reason and what to do",
    arguments: [
      ("missing", "no table", "schema.table"),
      ("keyless", "no primary key", "ADD PRIMARY KEY"),
      ("a_view", "a view", "ordinary and partitioned tables"),
      ("a_materialized_view", "a materialized view", "ordinary and partitioned tables"),
      ("a_partition", "a partition", "partitioned table that it belongs to"),
      ("a_parent", "inheritance", "ordinary and partitioned tables"),
      ("a_child", "inheritance", "ordinary and partitioned tables"),
      ("deferrable_key", "deferrable", "NOT DEFERRABLE"),
      ("unlogged", "an unlogged table", "SET LOGGED"),
      ("a_foreign_table", "a foreign table", "ordinary and partitioned tables"),
      ("pg_catalog.pg_class", "a system table", "ordinary and partitioned tables"),
    ]
  )
  func refusedTables(table: String, reason: String, advice: String) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE keyless (id int UNIQUE NOT NULL);
      CREATE VIEW a_view AS SELECT 1 AS id;
      CREATE MATERIALIZED VIEW a_materialized_view AS SELECT 1 AS id;
      CREATE TABLE partitioned (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE a_partition PARTITION OF partitioned DEFAULT;
      CREATE TABLE a_parent (id int PRIMARY KEY);
      CREATE TABLE a_child (PRIMARY KEY (id)) INHERITS (a_parent);
      CREATE TABLE deferrable_key (id int PRIMARY KEY DEFERRABLE);
      CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
      CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
      CREATE FOREIGN TABLE a_foreign_table (id int) SERVER nowhere;
      """
    )
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.enable(table: table)
    }
    #expect(error.code == .unsupported)
    #expect(error.message.contains(reason))
    #expect(error.advice?.contains(advice) == true)
    #expect(try await database.admin.list().isEmpty)
  }

  @Test(
    "A stream that somebody has just looked after is left alone, and one in which nothing happens for ten times as long"
  )
  func maintainedSeldom() async throws {
    let database = try await StreamDatabase.make()
    for name in ["busy", "idle"] { try await database.admin.create(name) }
    try await database.admin.put([1], partitionKey: "k", to: "busy")
    try await PostgresStream("busy", pool: database.pool).sequenceCommitted()
    @Sendable func maintained(after minutes: Int) async throws -> [String] {
      try await database.run(
        "UPDATE tidemark.stream SET maintained_at = clock_timestamp() - interval '\(minutes) minutes'"
      )
      _ = try await database.admin.maintain(atMostEvery: .seconds(60))
      return try await database.pool.query(
        "SELECT s.name FROM tidemark.stream s WHERE s.maintained_at > clock_timestamp() - interval '30 seconds' ORDER BY 1"
      ).map { try $0.decode(String.self) }
    }
    #expect(try await maintained(after: 0) == ["busy", "idle"], "as it was set")
    let before = try await database.text("SELECT max(s.maintained_at)::text FROM tidemark.stream s")
    _ = try await database.admin.maintain(atMostEvery: .seconds(60))
    #expect(try await database.text("SELECT max(s.maintained_at)::text FROM tidemark.stream s") == before)
    #expect(try await maintained(after: 2) == ["busy"])
    #expect(try await maintained(after: 11) == ["busy", "idle"])
  }

  @Test("One worker of a role looks after streams at a time, and after a fifth of the idle ones at once")
  func maintainedByOne() async throws {
    let database = try await StreamDatabase.make()
    for number in 1...20 { try await database.admin.create("idle-\(number)", shardCount: 1) }
    @Sendable func maintained() async throws -> Int64 {
      try await database.run(
        "UPDATE tidemark.stream SET maintained_at = clock_timestamp() - interval '20 minutes'"
      )
      _ = try await database.admin.maintain(atMostEvery: .seconds(60))
      return try await database.number(
        "SELECT count(*) FROM tidemark.stream WHERE maintained_at > clock_timestamp() - interval '1 minute'"
      )
    }
    #expect(try await maintained() == 5)
    try await database.run("SELECT tidemark.take_maintenance_turn(1, interval '1 hour')")
    #expect(try await maintained() == 0)
    try await database.run("SELECT tidemark.take_maintenance_turn(1, interval '0')")
    #expect(try await maintained() == 5)
  }

  @Test("Bad arguments are refused by name")
  func badArguments() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item")
    let refused: [(String, @Sendable () async throws -> PostgresStreamDescription)] = [
      (
        "already has a stream", { @Sendable in try await database.admin.enable(table: "item", name: "again") }
      ),
      ("already enabled", { @Sendable in try await database.admin.enable(table: "other", name: "item") }),
      ("slash", { @Sendable in try await database.admin.create("a/b") }),
      ("0 shards", { @Sendable in try await database.admin.create("a", shardCount: 0) }),
      ("retention", { @Sendable in try await database.admin.create("a", retention: .zero) }),
    ]
    for (reason, call) in refused {
      let error = try await #require(throws: TidemarkError.self) { try await call() }
      #expect(error.code == .invalidConfiguration)
      #expect(error.message.contains(reason))
      #expect(error.advice != nil)
    }
  }

  @Test("A stream is described by what it was enabled with", arguments: StreamCapture.allCases)
  func description(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int, region text, PRIMARY KEY (region, id))")
    let enabled = try await database.admin.enable(
      table: "item",
      viewType: .oldImage,
      capture: capture,
      retention: .seconds(3600),
      shardCount: 3
    )
    #expect(enabled.table == "public.item")
    #expect(enabled.viewType == .oldImage)
    #expect(enabled.keyColumns == ["region", "id"])
    #expect(enabled.retention == .seconds(3600))
    #expect(enabled.status == .enabled)
    #expect(enabled.label.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}/) != nil)
    #expect(enabled.shards.count == 3)
    #expect(enabled.shards.first?.hashRange?.start == 0)
    #expect(enabled.shards.last?.hashRange?.end == .max)
    for (left, right) in zip(enabled.shards, enabled.shards.dropFirst()) {
      #expect(left.id.wholeMatch(of: /shardId-\d{20}-[0-9a-f]{8}/) != nil)
      #expect(left.id < right.id)
      #expect((left.hashRange?.end ?? 0) + 1 == right.hashRange?.start)
    }
    // How much log the server keeps changes all the time.
    var found = [try await database.admin.describe("item")] + (try await database.admin.list())
    for index in found.indices {
      found[index].slot?.retainedBytes = enabled.slot?.retainedBytes ?? 0
    }
    #expect(found == [enabled, enabled])
    #expect(try await database.stream("item").streamName() == "item")
    #expect(try await database.stream(enabled.fullName).streamName() == enabled.fullName)
  }

  @Test("An unknown stream's error names the command that makes one")
  func unknownStream() async throws {
    let database = try await StreamDatabase.make()
    let error = try await #require(throws: TidemarkError.self) {
      try await database.stream("nothing").streamName()
    }
    #expect(error.code == .streamNotFound)
    #expect(error.advice?.contains("tidemark stream enable") == true)
  }

  @Test("A database without the schema says so")
  func noSchema() async throws {
    let url = try await TestServer.shared().makeDatabase()
    let stream = PostgresStream("item", pool: try StreamDatabase.makePool(url, connections: 1))
    let error = try await #require(throws: TidemarkError.self) { try await stream.shards() }
    #expect(error.code == .schemaMismatch)
    #expect(error.advice == "Run: tidemark migrate")
  }

  @Test(
    "A disabled stream is readable to its end; enabling again is another stream that starts empty",
    arguments: StreamCapture.allCases
  )
  func disableAndEnable(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    let first = try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture)
    try await database.run("INSERT INTO item SELECT i FROM generate_series(1, 100) AS i")
    let disabled = try await database.admin.disable("item")
    #expect(disabled.fullName == first.fullName)
    #expect(disabled.status == .disabled)
    #expect(disabled.shards.allSatisfy { !$0.isOpen && $0.closedAt != nil })
    try await database.run("INSERT INTO item VALUES (101)")

    let second = try await database.admin.enable(table: "item", viewType: .newImage, capture: capture)
    try await database.run("INSERT INTO item VALUES (102)")
    #expect(second.fullName != first.fullName)
    let both = try database.stream("item")
    #expect(try await both.streamName() == "item")
    let records = try await both.readAll()
    #expect(records.count == 101)
    #expect(records.last?.summary == #"INSERT {"id":102} new {"id":102}"#)
    #expect(try await database.stream(first.fullName).readAll(untilEnd: true).count == 100)
    #expect(try await database.stream(second.fullName).readAll().count == 1)
    let again = try await #require(throws: TidemarkError.self) {
      try await database.admin.disable(first.fullName)
    }
    #expect(again.code == .streamDisabled)
  }

  @Test(
    "Disabling waits for an open transaction that has written and loses nothing of it",
    arguments: StreamCapture.allCases
  )
  func disableWaitsForWriters(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture)
    // A pool of its own: a task that began in a transaction's body is refused that transaction's connection.
    let admin = PostgresStreamAdmin(try StreamDatabase.makePool(database.url, connections: 4))
    try await withThrowingTaskGroup(of: Void.self) { group in
      try await database.pool.transaction { transaction in
        try await transaction.execute("INSERT INTO item VALUES (1)")
        group.addTask { _ = try await admin.disable("item") }
        try await eventually("disabling waits for the table's lock") {
          try await database.number(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
          ) == 1
        }
      }
      try await group.waitForAll()
    }
    #expect(try await database.stream("item").readAll(untilEnd: true).map(\.partitionKey) == [#"{"id":1}"#])
  }

  @Test("Disabling waits for an open transaction that has put and loses nothing of it")
  func disableWaitsForPuts() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events", shardCount: 1)
    let admin = PostgresStreamAdmin(try StreamDatabase.makePool(database.url, connections: 4))
    try await withThrowingTaskGroup(of: Void.self) { group in
      try await database.pool.transaction { transaction in
        try await database.admin.put([1], partitionKey: "a", to: "events", using: transaction)
        group.addTask { _ = try await admin.disable("events") }
        try await eventually("disabling waits for the inbox") {
          try await database.number(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tidemark.inbox_1'::regclass"
          ) == 1
        }
      }
      try await group.waitForAll()
    }
    #expect(try await database.stream("events").readAll(untilEnd: true).map(\.partitionKey) == ["a"])
  }

  @Test("Of two who make a stream of one name at once, the second gets an error that says that it is there")
  func sameName() async throws {
    let database = try await StreamDatabase.make()
    let other = try StreamDatabase.makePool(database.url, connections: 1)
    // The first stream of all waits for more.
    try await database.admin.create("others")
    let error = try await withThrowingTaskGroup(of: PQError?.self) { group in
      try await database.pool.transaction { transaction in
        try await transaction.execute("SELECT tidemark.create_stream('events')")
        group.addTask {
          await #expect(throws: PQError.self) {
            try await other.execute("SELECT tidemark.create_stream('events')")
          }
        }
        try await eventually("the second waits") {
          try await database.number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
          ) == 1
        }
      }
      return try await group.next() ?? nil
    }
    #expect(error?.sqlState == "TM005")
    #expect(error?.message.contains("already enabled") == true)
    await other.close()
  }

  @Test("Put records come back as they were, in a transaction of the caller's or without")
  func put() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events", shardCount: 2)
    try await database.admin.put([0, 255, 1], partitionKey: "a", to: "events")
    try await database.admin.put([], partitionKey: "a", to: "events")
    struct Undone: Error {}
    await #expect(throws: Undone.self) {
      try await database.pool.transaction { transaction in
        try await database.admin.put([2], partitionKey: "a", to: "events", using: transaction)
        throw Undone()
      }
    }
    try await database.pool.transaction { transaction in
      try await database.admin.put([3], partitionKey: "a", to: "events", using: transaction)
    }
    let records = try await database.stream("events").readAll()
    #expect(records.map(\.partitionKey) == ["a", "a", "a"])
    #expect(
      records.map { record -> [UInt8] in if case .data(let data) = record.body { Array(data) } else { [9] } }
        == [[0, 255, 1], [], [3]]
    )
  }

  @Test("A disabled stream takes no put, not even one that was waiting")
  func putIntoDisabled() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events")
    try await database.admin.disable("events")
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.put([1], partitionKey: "a", to: "events")
    }
    #expect(error.code == .streamDisabled)
    #expect(error.advice != nil)

    try await database.admin.create("others")
    let admin = database.admin
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask { while (try? await admin.put([1], partitionKey: "a", to: "others")) != nil {} }
      }
      _ = try? await admin.disable("others")
    }
    #expect(try await admin.describe("others").status == .disabled)
    let id = try await database.number("SELECT tidemark.find_stream('others')")
    #expect(try await database.number("SELECT count(*) FROM tidemark.inbox_\(id)") == 0)
  }

  @Test("A put in a transaction that saw the stream enabled is refused once it is disabled")
  func putFromBefore() async throws {
    let database = try await StreamDatabase.make()
    let admin = database.admin
    try await admin.create("events")
    let error = try await #require(throws: TidemarkError.self) {
      try await database.pool.transaction(isolation: .repeatableRead) { transaction in
        _ = try await transaction.query("SELECT count(*) FROM tidemark.stream")
        try await admin.disable("events")
        try await admin.put([1], partitionKey: "a", to: "events", using: transaction)
      }
    }
    #expect(error.code == .streamDisabled)
  }

  @Test(
    "Neither waiting for what is committed nor disabling waits for the writers to pause"
  )
  func incessantWriters() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
    try await database.admin.enable(table: "item")
    // Each step finds something new when it is over.
    try await database.run(
      """
      CREATE FUNCTION write_on() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.item DEFAULT VALUES; RETURN NULL; END $$;
      CREATE TRIGGER write_on AFTER INSERT ON tidemark.step FOR EACH ROW EXECUTE FUNCTION write_on();
      INSERT INTO item DEFAULT VALUES
      """
    )
    let stream = try database.stream("item")
    try await stream.sequenceCommitted()
    let id = try await stream.identified().id
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_\(id)") > 0)
    #expect(try await database.admin.disable("item").status == .disabled)
  }

  @Test("A stream whose table was dropped is disabled by maintenance", arguments: StreamCapture.allCases)
  func droppedTable(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture)
    try await database.run("INSERT INTO item VALUES (1); DROP TABLE item")
    try await database.admin.maintain()
    #expect(try await database.admin.describe("item").status == .disabled)
    #expect(try await database.stream("item").readAll(untilEnd: true).count == 1)
  }

  @Test(
    "The schema is not taken from an enabled stream, and leaves nothing of a disabled one on its table",
    arguments: StreamCapture.allCases
  )
  func migratingDown(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    let stream = try await database.admin.enable(table: "item", capture: capture)
    var migrator = Migrator(database.pool, schema: .streams, logger: StreamDatabase.logger)
    migrator.patience = .zero
    let refused = await #expect(throws: TidemarkError.self) { try await migrator.migrate(to: 0) }
    #expect(
      refused?.code == .unsupported && refused?.message.hasSuffix("enabled: \(stream.fullName).") == true
    )
    #expect(refused?.advice?.contains("tidemark uninstall") == true)
    try await database.run("INSERT INTO item VALUES (1)")

    try await database.pool.transaction { reader in
      // Disabling cannot clean the table up.
      try await reader.execute("LOCK TABLE item IN ACCESS SHARE MODE")
      try await database.admin.disable("item")
      let locked = await #expect(throws: TidemarkError.self) { try await migrator.migrate(to: 0) }
      #expect(locked?.code == .sourceUnavailable && locked?.isRetryable == true)
      #expect(locked?.message.contains("used by the process") == true, "\(String(describing: locked))")
      if capture == .logical {
        #expect(
          locked?.message.contains("the REPLICA IDENTITY of public.item") == true,
          "\(String(describing: locked))"
        )
      }
    }
    try await migrator.migrate(to: 0)
    try await database.run("INSERT INTO item VALUES (2); TRUNCATE item")
    #expect(
      try await database.number(
        """
        SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass)
          + (SELECT count(*) FROM pg_class WHERE oid = 'item'::regclass AND relreplident <> 'd')
          + (SELECT count(*) FROM pg_publication)
          + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
        """
      ) == 0
    )
    try await migrator.migrate()
    try await database.admin.enable(table: "item", capture: capture)
    #expect(try await database.admin.list().count == 1)
  }
}
