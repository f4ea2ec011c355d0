import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// What the documentation says that streams cannot do: a limit that is gone, or is another one, must be described again.
@Suite("Limits", .sharesMachine)
struct LimitsTests {
  private func items(_ table: String = "(id int PRIMARY KEY, v int)", capture: StreamCapture = .trigger)
    async throws
    -> StreamDatabase
  {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item \(table)")
    try await database.admin.enable(table: "item", capture: capture, shardCount: 1)
    return database
  }

  private func records(_ database: StreamDatabase) async throws -> [String] {
    try await database.stream("item").readAll().map(\.summary)
  }

  @Test("TRUNCATE removes what its transaction's snapshot sees", arguments: StreamCapture.allCases)
  func oldSnapshot(capture: StreamCapture) async throws {
    let database = try await items(capture: capture)
    try await database.run("INSERT INTO item VALUES (1, 1)")
    try await database.pool.transaction(isolation: .repeatableRead) { old in
      _ = try await old.query("SELECT FROM item")
      try await database.run("INSERT INTO item VALUES (2, 2)")
      try await old.execute("TRUNCATE item")
    }
    #expect(
      try await records(database) == [
        #"INSERT {"id":1} new {"id":1,"v":1}"#, #"INSERT {"id":2} new {"id":2,"v":2}"#,
        #"REMOVE {"id":1} old {"id":1,"v":1}"#,
      ]
    )
  }

  @Test("Rows come and go with partitions without records")
  func partitions() async throws {
    let database = try await items("(id int PRIMARY KEY) PARTITION BY RANGE (id)")
    try await database.run(
      """
      CREATE TABLE low PARTITION OF item FOR VALUES FROM (0) TO (10);
      CREATE TABLE high PARTITION OF item FOR VALUES FROM (10) TO (20);
      CREATE TABLE more (id int PRIMARY KEY); INSERT INTO more VALUES (20);
      INSERT INTO item VALUES (1), (11);
      TRUNCATE low; ALTER TABLE item DETACH PARTITION high;
      ALTER TABLE item ATTACH PARTITION more FOR VALUES FROM (20) TO (30);
      UPDATE item SET id = 21; DROP TABLE more
      """
    )
    #expect(
      try await records(database) == [
        #"INSERT {"id":1} new {"id":1}"#, #"INSERT {"id":11} new {"id":11}"#,
        #"REMOVE {"id":20} old {"id":20}"#, #"INSERT {"id":21} new {"id":21}"#,
      ]
    )
  }

  @Test("A table that is dropped removes no item, and ends its stream", arguments: StreamCapture.allCases)
  func droppedTable(capture: StreamCapture) async throws {
    let database = try await items(capture: capture)
    try await database.run("INSERT INTO item VALUES (1, 1); DROP TABLE item")
    try await database.admin.maintain()
    #expect(try await records(database) == [#"INSERT {"id":1} new {"id":1,"v":1}"#])
    #expect(try await database.admin.describe("item").status == .disabled)
  }

  @Test("In replica mode only decoding captures", arguments: StreamCapture.allCases)
  func replicaMode(capture: StreamCapture) async throws {
    let database = try await items(capture: capture)
    try await database.run("SET session_replication_role = replica; INSERT INTO item VALUES (1, 1)")
    #expect(try await records(database).count == (capture == .logical ? 1 : 0))
  }

  @Test("Rows that ALTER TABLE rewrites have no records", arguments: StreamCapture.allCases)
  func rewrite(capture: StreamCapture) async throws {
    let database = try await items(capture: capture)
    try await database.run(
      """
      INSERT INTO item VALUES (1, 9); ALTER TABLE item ALTER v TYPE numeric USING v / 3, ADD COLUMN w int DEFAULT 7;
      UPDATE item SET v = 4; ALTER TABLE item DROP COLUMN w; DELETE FROM item
      """
    )
    let records = try await records(database)
    #expect(
      records == [
        #"INSERT {"id":1} new {"id":1,"v":9}"#,
        #"MODIFY {"id":1} old {"id":1,"v":3,"w":7} new {"id":1,"v":4,"w":7}"#,
        #"REMOVE {"id":1} old {"id":1,"v":4}"#,
      ]
    )
  }

  @Test("A captured key column that is renamed fails the writes, until maintenance ends the stream")
  func renamedKey() async throws {
    let database = try await items()
    try await database.run("ALTER TABLE item RENAME id TO number")
    let error = try await #require(throws: PQError.self) {
      try await database.run("INSERT INTO item VALUES (1, 1)")
    }
    #expect(error.message.contains(#""new" has no field "id""#), "\(error)")
    try await database.admin.watchConditions()
    try await database.run("INSERT INTO item VALUES (1, 1)")
    #expect(try await database.admin.describe("item").captureFailure?.contains("is (number)") == true)
  }

  @Test(
    "Virtual generated columns are refused, and are a problem if they are added later",
    .needsPostgres(18)
  )
  func virtualColumns() async throws {
    let database = try await items()
    try await database.run("ALTER TABLE item ADD COLUMN twice int GENERATED ALWAYS AS (v * 2) VIRTUAL")
    try await database.run("INSERT INTO item VALUES (1, 1)")
    #expect(try await records(database) == [#"INSERT {"id":1} new {"id":1,"v":1,"twice":null}"#])
    let problems = try await database.admin.conditions().compactMap(\.problem)
    #expect(problems.count == 1 && problems[0].contains("virtual generated columns"), "\(problems)")
    try await database.admin.disable("item")
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.enable(table: "item")
    }
    #expect(error.code == .unsupported && error.message.contains("virtual generated columns"))
  }

  @Test("A name in a key that is renamed makes other items of the rows", arguments: StreamCapture.allCases)
  func renamedWithinKey(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TYPE mood AS ENUM ('glad'); CREATE TYPE place AS (n int);
      CREATE TABLE item (m mood, p place, PRIMARY KEY (m, p))
      """
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture, shardCount: 1)
    try await database.run("INSERT INTO item VALUES ('glad', ROW(1))")
    #expect(try await records(database) == [#"INSERT {"m":"glad","p":{"n":1}}"#])
    try await database.run(
      "ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'; ALTER TYPE place RENAME ATTRIBUTE n TO number"
    )
    try await database.admin.maintain()
    try await database.run("DELETE FROM item")
    #expect(try await records(database).last == #"REMOVE {"m":"happy","p":{"number":1}}"#)
    #expect(try await database.admin.conditions().allSatisfy { $0.problem == nil })
  }

  @Test("Arrays that differ in their bounds only are one item")
  func arrayBounds() async throws {
    let database = try await items("(id int[] PRIMARY KEY)")
    try await database.run("INSERT INTO item VALUES ('{1}'), ('[0:0]={1}')")
    let keys = try await database.stream("item").readAll().map(\.partitionKey)
    #expect(keys == [#"{"id":[1]}"#, #"{"id":[1]}"#])
  }

  @Test(
    "A subscriber to a publication of all tables stops at the next log partition, and to one of others does not",
    .needsPostgres(15)
  )
  func allTables() async throws {
    // Both have the same tables, as after a copy of the schema.
    let database = try await items()
    let subscriber = try await items()
    for one in [database, subscriber] {
      try await one.run("INSERT INTO item VALUES (-1, 1)")
      _ = try await records(one)
    }
    let name = try #require(try await subscriber.text("SELECT current_database()::text"))
    let slots = ["all_\(name)", "own_\(name)"]
    try await database.run(
      "CREATE PUBLICATION every FOR ALL TABLES; CREATE PUBLICATION own FOR TABLE item"
    )
    for (slot, publication) in zip(slots, ["every", "own"]) {
      try await database.run("SELECT pg_create_logical_replication_slot('\(slot)', 'pgoutput')")
      try await subscriber.pool.execute(
        PQStatement(
          stringLiteral: """
            CREATE SUBSCRIPTION \(slot) CONNECTION '\(database.url)' PUBLICATION \(publication)
            WITH (create_slot = false, slot_name = '\(slot)', copy_data = false)
            """
        )
      )
    }
    // The next partition.
    try await database.run(
      "UPDATE tidemark.log_partition SET created_at = created_at - interval '2 hours'; INSERT INTO item VALUES (1, 1)"
    )
    _ = try await records(database)
    try await eventually("the one of all tables fails") {
      try await subscriber.number(
        "SELECT sum(apply_error_count)::bigint FROM pg_stat_subscription_stats WHERE subname = '\(slots[0])'"
      ) > 0
    }
    try await eventually("the other one goes on") {
      try await subscriber.number("SELECT count(*) FROM item WHERE id = 1") == 1
    }
    for slot in slots {
      try await subscriber.run(
        "ALTER SUBSCRIPTION \(slot) DISABLE; ALTER SUBSCRIPTION \(slot) SET (slot_name = NONE)"
      )
      try await subscriber.run("DROP SUBSCRIPTION \(slot)")
      try await database.run(
        """
        SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '\(slot)' AND active;
        SELECT pg_drop_replication_slot('\(slot)')
        """
      )
    }
  }
}
