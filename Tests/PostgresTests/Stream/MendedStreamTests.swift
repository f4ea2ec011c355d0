import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// What becomes of a stream when somebody has changed what it rests on.
@Suite("A stream whose conditions are broken", .sharesMachine)
struct MendedStreamTests {
  struct Damage: Sendable, CustomTestStringConvertible {
    var testDescription: String { change }
    var capture = StreamCapture.trigger
    var change: String
    var conditions: [String]
    /// The first version of PostgreSQL where it can happen.
    var since: Int32 = 14
  }

  private static let damages = [
    Damage(change: "ALTER TABLE item DISABLE TRIGGER ALL", conditions: ["row triggers", "truncate trigger"]),
    Damage(
      change: "ALTER TABLE item ENABLE REPLICA TRIGGER \"!tidemark_capture\"",
      conditions: ["row triggers"]
    ),
    Damage(change: "DROP TRIGGER \"!tidemark_capture\" ON item", conditions: ["row triggers"]),
    Damage(
      change: """
        ALTER TRIGGER "!tidemark_capture" ON item RENAME TO other; ALTER TABLE item DISABLE TRIGGER other
        """,
      conditions: ["row triggers"]
    ),
    Damage(
      change: """
        CREATE OR REPLACE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE ON item
        FOR EACH ROW EXECUTE FUNCTION tidemark.capture_1()
        """,
      conditions: ["row triggers"]
    ),
    Damage(
      change: """
        CREATE OR REPLACE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE OR DELETE ON item
        FOR EACH ROW WHEN (pg_trigger_depth() = 7) EXECUTE FUNCTION tidemark.capture_1()
        """,
      conditions: ["row triggers"]
    ),
    Damage(
      change: """
        CREATE OR REPLACE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE OF id OR DELETE ON item
        FOR EACH ROW EXECUTE FUNCTION tidemark.capture_1()
        """,
      conditions: ["row triggers"]
    ),
    Damage(change: "DROP FUNCTION tidemark.capture_1() CASCADE", conditions: ["row triggers"]),
    Damage(change: "DROP FUNCTION tidemark.truncate_1() CASCADE", conditions: ["truncate trigger"]),
    Damage(
      capture: .logical,
      change: "DROP FUNCTION tidemark.truncate_2() CASCADE",
      conditions: ["truncate trigger"]
    ),
    Damage(change: "DROP TRIGGER \"!tidemark_truncate\" ON item", conditions: ["truncate trigger"]),
    Damage(
      capture: .logical,
      change: "ALTER TABLE item ENABLE TRIGGER \"!tidemark_truncate\"",
      conditions: ["truncate trigger"]
    ),
    Damage(
      capture: .logical,
      change: "ALTER PUBLICATION tidemark_1 DROP TABLE item",
      conditions: ["publication"]
    ),
    Damage(
      capture: .logical,
      change: "ALTER PUBLICATION tidemark_1 SET (publish = 'insert')",
      conditions: ["publication"]
    ),
    Damage(
      capture: .logical,
      change: "ALTER PUBLICATION tidemark_1 SET TABLE item WHERE (id > 5)",
      conditions: ["publication"],
      since: 15
    ),
    Damage(
      capture: .logical,
      change: "ALTER TABLE item REPLICA IDENTITY DEFAULT",
      conditions: ["replica identity"]
    ),
    Damage(
      capture: .logical,
      change: "ALTER TABLE item REPLICA IDENTITY NOTHING; ALTER PUBLICATION tidemark_1 SET TABLE item",
      conditions: ["publication", "replica identity"]
    ),
  ]

  @Test(
    "is put right, captures each change once from then on, and names when changes may be missing",
    arguments: damages
  )
  func mended(damage: Damage) async throws {
    guard try await PostgresVersion.isAtLeast(damage.since) else { return }
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, v int)")
    try await database.admin.enable(
      table: "item",
      viewType: .keysOnly,
      capture: damage.capture,
      shardCount: 1
    )
    #expect(try await database.admin.watchConditions() == [])
    try await database.run("INSERT INTO item VALUES (1, 1)")
    let well = try await database.admin.describe("item").createdAt
    try await database.run(damage.change)
    let problems = try await database.admin.watchConditions()
    #expect(problems.map(\.condition).sorted() == damage.conditions)
    for problem in problems {
      #expect(problem.isMended && problem.wellAt > well && problem.wellAt < problem.foundAt)
      let goneAt = try #require(problem.goneAt)
      #expect(problem.foundAt < goneAt)
    }
    #expect(try await database.admin.conditions().allSatisfy { $0.problem == nil })
    try await database.run(
      "INSERT INTO item VALUES (2, 1); UPDATE item SET v = 2; DELETE FROM item WHERE id = 1; TRUNCATE item"
    )
    let records = try await database.stream("item").readAll().map(\.summary)
    #expect(
      records == [
        #"INSERT {"id":1}"#, #"INSERT {"id":2}"#, #"MODIFY {"id":1}"#, #"MODIFY {"id":2}"#,
        #"REMOVE {"id":1}"#,
        #"REMOVE {"id":2}"#,
      ]
    )
    #expect(try await database.admin.watchConditions() == problems)
    #expect(try await database.admin.describe("item").problems == problems)
  }

  @Test("Triggers of partitions are put right by themselves")
  func partitions() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE low PARTITION OF item FOR VALUES FROM (0) TO (10);
      CREATE TABLE high PARTITION OF item FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
      CREATE TABLE higher PARTITION OF high FOR VALUES FROM (10) TO (20)
      """
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
    for change in [
      "ALTER TABLE higher DISABLE TRIGGER ALL", "ALTER TABLE item DISABLE TRIGGER ALL",
      "DROP TRIGGER \"!tidemark_capture\" ON item",
    ] {
      try await database.run(change)
      let problem = try #require(try await database.admin.watchConditions().last)
      #expect(problem.isMended, "\(change)")
      try await database.run("INSERT INTO item VALUES (1), (11); DELETE FROM item")
    }
    #expect(try await database.stream("item").readAll().count == 12)
  }

  @Test("ends with the reason when its records would be of other items", arguments: StreamCapture.allCases)
  func otherKey(capture: StreamCapture) async throws {
    for change in [
      "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (tenant, id)",
      "ALTER TABLE item ALTER id TYPE text", "ALTER TABLE item DROP CONSTRAINT item_pkey",
    ] {
      let database = try await StreamDatabase.make()
      try await database.run("CREATE TABLE item (id int PRIMARY KEY, tenant int NOT NULL DEFAULT 1)")
      try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture, shardCount: 1)
      try await database.run("INSERT INTO item VALUES (1)")
      try await database.run(change)
      try await database.admin.watchConditions()
      let stream = try database.stream("item")
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await stream.run() }
        defer { group.cancelAll() }
        try await eventually("the stream has ended") {
          try await database.admin.maintain()
          return try await database.admin.describe("item").status == .disabled
        }
      }
      let description = try await database.admin.describe("item")
      #expect(description.captureFailure?.contains("primary key") == true, "\(change)")
      #expect(description.problems.allSatisfy { $0.goneAt != nil && !$0.isMended })
      let reader = try await stream.reader(of: try #require(description.shards.first).id, after: .trimHorizon)
      let page = try await reader.nextPage(maximumRecords: 10)
      #expect(page.records.map(\.partitionKey) == [#"{"id":1}"#])
      let error = try await #require(throws: TidemarkError.self) {
        _ = try await reader.nextPage(maximumRecords: 10)
      }
      #expect(error.code == .captureLost && error.message.contains("primary key"))
      // A new stream goes on.
      if !change.hasSuffix("item_pkey") {
        try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture, shardCount: 1)
      }
    }
  }

  @Test("stays noted while its table is locked, and is put right afterwards")
  func lockedTable() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", shardCount: 1)
    try await database.run("ALTER TABLE item DISABLE TRIGGER ALL")
    try await database.pool.transaction { writer in
      try await writer.execute("INSERT INTO item VALUES (1)")
      #expect(try await database.admin.watchConditions().allSatisfy { $0.goneAt == nil })
    }
    #expect(try await database.admin.watchConditions().allSatisfy { $0.isMended })
  }

  @Test("What keeps one from being put right is reported, and keeps no other from it")
  func obstacle() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY);
      CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%public.item') THEN
          RAISE EXCEPTION 'no triggers here';
        END IF;
      END $$
      """
    )
    for table in ["item", "other"] {
      try await database.admin.enable(table: table, shardCount: 1)
      try await database.run("DROP TRIGGER \"!tidemark_capture\" ON \(table)")
    }
    try await database.run(
      "CREATE EVENT TRIGGER forbid ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION forbid()"
    )
    let log = CollectedLog()
    let problems = try await PostgresStreamAdmin(database.pool, logger: log.logger).watchConditions()
    #expect(problems.map(\.isMended) == problems.map { $0.stream.hasPrefix("other/") })
    #expect(log.lines.count == 1 && log.lines[0].contains("no triggers here"), "\(log.lines)")
    try await database.run("DROP EVENT TRIGGER forbid")
    #expect(try await database.admin.watchConditions().allSatisfy { $0.isMended })
  }

  @Test("A problem that somebody else ends is gone, not put right")
  func endedByOthers() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", shardCount: 1)
    try await database.run("ALTER TABLE item SET UNLOGGED")
    let problem = try #require(try await database.admin.watchConditions().first)
    #expect(problem.goneAt == nil && problem.problem.contains("unlogged"))
    #expect(try await database.admin.watchConditions(atMostEvery: .seconds(600)) == [problem])
    try await database.run("ALTER TABLE item SET LOGGED")
    #expect(
      try await database.admin.watchConditions(atMostEvery: .seconds(600)) == [problem],
      "no look was made"
    )
    let gone = try #require(try await database.admin.watchConditions().first)
    #expect(gone.goneAt != nil && !gone.isMended && gone.foundAt == problem.foundAt)
  }

  @Test(
    "No row expires while nothing captures its removal",
    arguments: [
      "ALTER TABLE item DISABLE TRIGGER ALL",
      "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id, at)",
    ]
  )
  func expiry(change: String) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, at timestamptz NOT NULL)")
    try await database.admin.enable(table: "item", shardCount: 1)
    try await database.admin.alter("item") { $0.expiryColumn = "at" }
    try await database.run("INSERT INTO item VALUES (1, now() - interval '1 day')")
    try await database.run(change)
    #expect(try await database.expireRows() == 0)
    #expect(try await database.number("SELECT count(*) FROM item") == 1)
  }

  @Test(
    "A decoded TRUNCATE whose rows nothing has written down ends the stream with the reason",
    arguments: ["", "TRUNCATE item;"]
  )
  func truncatedWithoutTrigger(before: String) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    // Of an empty table, too, it is right.
    try await database.run(
      "TRUNCATE item; INSERT INTO item VALUES (1); TRUNCATE item; INSERT INTO item VALUES (2)"
    )
    #expect(try await database.stream("item").readAll().count == 3)
    try await database.run(
      """
      BEGIN; \(before) ALTER TABLE item DISABLE TRIGGER ALL; TRUNCATE item; ALTER TABLE item ENABLE TRIGGER ALL; COMMIT
      """
    )
    try await database.admin.disable("item")
    #expect(try await database.admin.describe("item").captureFailure?.contains("TRUNCATE") == true)
  }
}
