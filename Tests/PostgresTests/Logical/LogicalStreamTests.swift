import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("A stream that is captured by decoding", .sharesMachine)
struct LogicalStreamTests {
  /// How many slots, publications and tables with a changed REPLICA IDENTITY there are.
  private func traces(in database: StreamDatabase) async throws -> Int64 {
    try await database.number(
      """
      SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
        + (SELECT count(*) FROM pg_publication)
        + (SELECT count(*) FROM pg_class WHERE relreplident = 'f' AND relnamespace = 'public'::regnamespace)
      """
    )
  }

  @Test(
    "A table that cannot be decoded is refused with the reason and what to do, and is left as it was",
    arguments: [
      ("partitioned", "partitioned", "Capture by trigger"),
      ("generated", "generated columns", "Capture by trigger"),
      ("cast_to_json", "cast to json", "Capture by trigger"),
      ("keyless", "no primary key", "ADD PRIMARY KEY"),
    ]
  )
  func refusedTables(table: String, reason: String, advice: String) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE partitioned (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE generated (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED);
      CREATE TYPE own AS (id int);
      CREATE FUNCTION own_json(own) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '1'::json $$;
      CREATE CAST (own AS json) WITH FUNCTION own_json(own);
      CREATE TABLE cast_to_json (id int PRIMARY KEY, owns own[]);
      CREATE TABLE keyless (id int)
      """
    )
    try await expectRefusal(of: table, in: database, reason: reason, advice: advice)
  }

  @Test("A table that is published with a list of columns is refused likewise", .needsPostgres(15))
  func listOfColumns() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE listed (id int PRIMARY KEY, a int, b int);
      CREATE PUBLICATION others FOR TABLE listed (id, a)
      """
    )
    try await expectRefusal(
      of: "listed",
      in: database,
      reason: "published with a list of columns (others)",
      advice: "Publish all of its columns"
    )
  }

  private func expectRefusal(
    of table: String,
    in database: StreamDatabase,
    reason: String,
    advice: String
  ) async throws {
    let before = try await traces(in: database)
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.enable(table: table, capture: .logical)
    }
    #expect(error.code == .unsupported)
    #expect(error.message.contains(reason))
    #expect(error.advice?.contains(advice) == true)
    #expect(try await database.admin.list().isEmpty)
    #expect(try await traces(in: database) == before)
  }

  @Test(
    "A table that is published as a whole, or inserts only with a list of columns, can be decoded",
    .needsPostgres(15)
  )
  func otherPublications() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY, a int, b int);
      CREATE PUBLICATION whole FOR TABLE item WHERE (a > 1);
      CREATE PUBLICATION inserts FOR TABLE item (id, a) WITH (publish = 'insert')
      """
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    try await database.run("INSERT INTO item VALUES (1, 1, 1); UPDATE item SET b = 2; DELETE FROM item")
    #expect(
      try await database.stream("item").readAll().map(\.change?.eventName) == [.insert, .modify, .remove]
    )
  }

  @Test("A role that may not replicate gets an error that says so")
  func missingRight() async throws {
    let database = try await StreamDatabase.make()
    let role = "owner_\(UInt32.random(in: 0 ... .max))"
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY); CREATE ROLE \(role) LOGIN; ALTER TABLE item OWNER TO \(role);
      GRANT USAGE ON SCHEMA tidemark TO \(role);
      GRANT EXECUTE ON FUNCTION tidemark.logical_capture_problem TO \(role)
      """
    )
    let problem = try await database.pool.transaction { transaction in
      try await transaction.executeScript(
        "SET LOCAL ROLE postgres; GRANT USAGE ON SCHEMA tidemark TO \(role)"
      )
      try await transaction.executeScript("SET LOCAL ROLE \(role)")
      return try await transaction.query(
        "SELECT p.problem || ' ' || p.remedy FROM tidemark.logical_capture_problem('item') AS p"
      )[0].decode(String.self)
    }
    #expect(problem.contains("may not replicate ALTER ROLE \(role) REPLICATION"))
    try await database.run("DROP OWNED BY \(role); DROP ROLE \(role)")
  }

  @Test("Only changes that commit after enabling are captured, and disabling leaves nothing behind")
  func bounds() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)")
    let enabled = try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical)
    #expect(enabled.capture == .logical)
    #expect(enabled.slot?.walStatus == "reserved")
    #expect(enabled.slot?.isActive == false)
    try await database.run("INSERT INTO item VALUES (2)")
    try await database.admin.disable("item")
    try await database.run("INSERT INTO item VALUES (3)")
    #expect(
      try await database.stream("item").readAll(untilEnd: true).map(\.summary) == [#"INSERT {"id":2}"#]
    )
    #expect(try await traces(in: database) == 0)
  }

  @Test(
    "What a death during enabling has left is removed by maintenance, and by enabling again",
    arguments: [0, 1]
  )
  func deathWhileEnabling(way: Int) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    let doomed = try StreamDatabase.makePool(database.url, connections: 1)
    try await doomed.withConnection { connection in
      let id: Int32 = try await connection.query(
        "SELECT tidemark.prepare_logical_capture('item', NULL, 'KEYS_ONLY', '1 day', 1, 1 << 30)"
      )[0].decode()
      _ = try await connection.query(
        "SELECT pg_create_logical_replication_slot(tidemark.slot_name(\(id)), 'pgoutput')"
      )
      // While it lives nobody touches it.
      try await database.admin.maintain()
      #expect(try await traces(in: database) == 3)
      await connection.close()
    }
    #expect(try await database.admin.list().isEmpty)
    if way == 0 {
      try await eventually("maintenance has removed it") {
        try await database.admin.maintain()
        return try await traces(in: database) == 0
      }
    } else {
      try await eventually("the session is gone") {
        try await database.number(
          "SELECT count(*) FROM tidemark.presence WHERE tidemark.is_present(work)"
        ) == 0
      }
      try await database.admin.enable(table: "item", capture: .logical)
      #expect(try await traces(in: database) == 3)
      try await database.admin.disable("item")
      #expect(try await traces(in: database) == 0)
    }
  }

  @Test(
    "A slot that keeps too much, or is gone, ends the stream, and readers get an error at its end",
    arguments: [true, false]
  )
  func lostSlot(isDropped: Bool) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(
      table: "item",
      viewType: .keysOnly,
      capture: .logical,
      maximumSlotLag: 1 << 20,
      shardCount: 1
    )
    try await database.run("INSERT INTO item VALUES (1)")
    let stream = try database.stream("item")
    try await stream.sequenceCommitted()
    if isDropped {
      try await eventually("the slot is free") {
        try await database.admin.describe("item").slot?.isActive == false
      }
      try await database.run(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
      )
    } else {
      try await database.run("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 4000000))")
    }
    try await database.run("INSERT INTO item VALUES (2)")
    try await database.admin.maintain()
    let description = try await database.admin.describe("item")
    #expect(description.status == .disabled)
    #expect(description.slot == nil)
    #expect(description.captureFailure?.contains(isDropped ? "was dropped" : "more than the 1024 kB") == true)
    #expect(try await traces(in: database) == 0)
    let reader = try await stream.reader(of: try await stream.shards()[0].id, after: .trimHorizon)
    let page = try await reader.nextPage(maximumRecords: 100)
    #expect(page.records.map(\.summary) == [#"INSERT {"id":1}"#])
    #expect(page.end == nil)
    let error = try await #require(throws: TidemarkError.self) {
      _ = try await reader.nextPage(maximumRecords: 100)
    }
    #expect(error.code == .captureLost)
    #expect(!error.isRetryable)
  }

  @Test(
    "What is left of an earlier capture of the table goes without the REPLICA IDENTITY of the one that is enabled"
  )
  func earlierCapture() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, n int)")
    try await database.admin.enable(table: "item", capture: .logical, shardCount: 1)
    try await database.run(
      """
      INSERT INTO tidemark.logical_capture (source_table, replica_identity, maximum_lag) VALUES ('item', 'd', 1 << 30);
      INSERT INTO item VALUES (1, 1)
      """
    )
    try await database.admin.maintain()
    #expect(try await database.number("SELECT count(*) FROM tidemark.logical_capture") == 1)
    try await database.run("UPDATE item SET n = 2")
    #expect(try await database.stream("item").readAll().last?.summary.contains("old") == true)
  }

  @Test("Another process takes over within moments of the death of the one that captures")
  func takeover() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    let streams = [try database.stream("item"), try database.stream("item")]
    try await pumping(streams[0], streams[1]) {
      for id in 1...3 {
        try await eventually("somebody captures") {
          try await database.admin.describe("item").slot?.isActive == true
        }
        try await database.run(
          "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()"
        )
        try await database.run("INSERT INTO item VALUES (\(id))")
      }
      #expect(try await streams[0].readAll().count == 3)
    }
  }

  @Test("A process that was taken for dead cannot append any more")
  func fencing() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    let stream = try database.stream("item")
    let id = try await stream.identified().id
    let before = try #require(try await CaptureState.of(id, on: database.pool))
    try await database.run("INSERT INTO item VALUES (1)")
    try await stream.sequenceCommitted()
    func append(from position: CapturePosition) async throws -> Bool {
      try await database.pool.query(
        """
        SELECT tidemark.append_captured(\(id), \(before.captureID), NULL, \(position.lsn.description)::pg_lsn,
          \(position.changes), 'FFFF/0', 0, ARRAY['INSERT'], ARRAY['{"id":9}'], ARRAY[NULL]::json[],
          ARRAY[NULL]::json[], ARRAY[NULL]::text[], ARRAY[8], ARRAY[now()])
        """
      )[0].decode(Bool.self)
    }
    #expect(try await !append(from: before.position))
    let now = try #require(try await CaptureState.of(id, on: database.pool))
    #expect(
      try await !append(from: CapturePosition(lsn: now.position.lsn, changes: now.position.changes + 1))
    )
    // While somebody asks for a cut, its place may be any that comes.
    try await database.run(
      "UPDATE tidemark.logical_capture SET cut_id = gen_random_uuid(), cut_until = 'infinity'"
    )
    #expect(try await !append(from: now.position))
    try await database.run("UPDATE tidemark.logical_capture SET cut_id = NULL, cut_until = NULL")
    #expect(try await append(from: now.position))
    #expect(try await !append(from: now.position))
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_\(id)") == 2)
  }
}
