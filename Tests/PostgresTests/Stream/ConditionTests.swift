import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// What is noticed when somebody changes what a stream rests on.
@Suite("A stream's conditions", .sharesMachine)
struct ConditionTests {
  struct Drift: Sendable, CustomTestStringConvertible {
    var testDescription: String { change }
    var capture = StreamCapture.trigger
    var change: String
    /// What makes it as it was, if something does.
    var remedy: String?
    var condition: String
    var problem: String
    /// The first version of PostgreSQL where it can happen.
    var since: Int32 = 14
  }

  private static let drifts = [
    Drift(
      change: "ALTER TABLE item DISABLE TRIGGER ALL",
      remedy: "ALTER TABLE item ENABLE TRIGGER ALL",
      condition: "row triggers",
      problem: "nothing captures the changes of public.item"
    ),
    Drift(
      change: "ALTER TABLE item ENABLE REPLICA TRIGGER \"!tidemark_capture\"",
      remedy: "ALTER TABLE item ENABLE ALWAYS TRIGGER \"!tidemark_capture\"",
      condition: "row triggers",
      problem: "nothing captures"
    ),
    Drift(change: "DROP TRIGGER \"!tidemark_capture\" ON item", condition: "row triggers", problem: "gone"),
    Drift(
      change: """
        CREATE OR REPLACE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE ON item
        FOR EACH ROW EXECUTE FUNCTION tidemark.capture_1()
        """,
      condition: "row triggers",
      problem: "nothing captures"
    ),
    Drift(
      change: """
        CREATE OR REPLACE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE OR DELETE ON item
        FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION tidemark.capture_1()
        """,
      condition: "row triggers",
      problem: "nothing captures"
    ),
    Drift(
      change: """
        CREATE OR REPLACE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE OF v OR DELETE ON item
        FOR EACH ROW EXECUTE FUNCTION tidemark.capture_1()
        """,
      condition: "row triggers",
      problem: "nothing captures"
    ),
    Drift(
      change: """
        CREATE TRIGGER second AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION tidemark.capture_1()
        """,
      remedy: "DROP TRIGGER second ON item",
      condition: "other triggers",
      problem: "(second of public.item)"
    ),
    Drift(
      change: """
        CREATE TABLE copy (id int PRIMARY KEY);
        CREATE TRIGGER "!tidemark_capture" AFTER INSERT OR UPDATE OR DELETE ON copy
        FOR EACH ROW EXECUTE FUNCTION tidemark.capture_1()
        """,
      remedy: "DROP TABLE copy",
      condition: "other triggers",
      problem: "(\"!tidemark_capture\" of public.copy)"
    ),
    Drift(
      change: "ALTER TABLE item DISABLE TRIGGER \"!tidemark_truncate\"",
      remedy: "ALTER TABLE item ENABLE TRIGGER \"!tidemark_truncate\"",
      condition: "truncate trigger",
      problem: "TRUNCATE is not captured"
    ),
    Drift(
      change: "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (tenant, id)",
      remedy: "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id)",
      condition: "key",
      problem: "the primary key was (id), and is (tenant, id)"
    ),
    Drift(
      change: "ALTER TABLE item DROP CONSTRAINT item_pkey",
      condition: "key",
      problem: "the primary key was (id), and is none"
    ),
    Drift(
      change: "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id) DEFERRABLE",
      condition: "key",
      problem: "and is (id) DEFERRABLE"
    ),
    Drift(
      change: "ALTER TABLE item SET UNLOGGED",
      remedy: "ALTER TABLE item SET LOGGED",
      condition: "persistence",
      problem: "unlogged"
    ),
    Drift(
      change: "CREATE TABLE child () INHERITS (item)",
      remedy: "DROP TABLE child",
      condition: "inheritance",
      problem: "inheritance"
    ),
    Drift(
      capture: .logical,
      change: "ALTER PUBLICATION tidemark_1 DROP TABLE item",
      remedy: "ALTER PUBLICATION tidemark_1 ADD TABLE item",
      condition: "publication",
      problem: "the publication tidemark_1 does not publish"
    ),
    Drift(
      capture: .logical,
      change: "ALTER PUBLICATION tidemark_1 SET (publish = 'insert')",
      remedy: "ALTER PUBLICATION tidemark_1 SET (publish = 'insert, update, delete, truncate')",
      condition: "publication",
      problem: "does not publish all changes"
    ),
    Drift(
      capture: .logical,
      change: "ALTER PUBLICATION tidemark_1 SET TABLE item WHERE (id > 5), tidemark.expiry_run",
      condition: "publication",
      problem: "does not publish all changes",
      since: 15
    ),
    Drift(
      capture: .logical,
      change: "DROP PUBLICATION tidemark_1",
      condition: "publication",
      problem: "does not publish all changes"
    ),
    Drift(
      capture: .logical,
      change: "ALTER TABLE item ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) STORED",
      remedy: "ALTER TABLE item DROP COLUMN twice",
      condition: "generated columns",
      problem: "images do not have them"
    ),
    Drift(
      capture: .logical,
      change: "ALTER TABLE item REPLICA IDENTITY DEFAULT",
      remedy: "ALTER TABLE item REPLICA IDENTITY FULL",
      condition: "replica identity",
      problem: "not FULL"
    ),
    Drift(
      capture: .logical,
      change: "CREATE PUBLICATION narrow FOR TABLE item (id)",
      remedy: "DROP PUBLICATION narrow",
      condition: "other publications",
      problem: "because narrow publishes it with a list of columns",
      since: 15
    ),
    Drift(
      capture: .logical,
      change: "ALTER TABLE item ENABLE TRIGGER \"!tidemark_truncate\"",
      remedy: "ALTER TABLE item ENABLE ALWAYS TRIGGER \"!tidemark_truncate\"",
      condition: "truncate trigger",
      problem: "TRUNCATE is not captured"
    ),
  ]

  private func problems(_ database: StreamDatabase) async throws -> [PostgresStreamCondition] {
    try await database.admin.conditions().filter { $0.problem != nil }
  }

  @Test("A change of what a stream rests on is seen, with what to do, and its end is, too", arguments: drifts)
  func drift(drift: Drift) async throws {
    guard try await PostgresVersion.isAtLeast(drift.since) else { return }
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, tenant int DEFAULT 1 NOT NULL, v text)")
    let stream = try await database.admin.enable(table: "item", capture: drift.capture, shardCount: 1)
    #expect(try await problems(database) == [])
    try await database.run(drift.change)
    let found = try await problems(database)
    let problem = try #require(found.first { $0.name == drift.condition })
    #expect(problem.stream == stream.fullName)
    #expect(problem.problem?.contains(drift.problem) == true, "\(problem)")
    #expect(problem.advice?.isEmpty == false)
    // DISABLE TRIGGER ALL takes both.
    #expect(
      found.count == (drift.change.contains("ALL") && drift.change.contains("DISABLE") ? 2 : 1),
      "\(found)"
    )
    guard let remedy = drift.remedy else { return }
    try await database.run(remedy)
    #expect(try await problems(database) == [])
  }

  @Test(
    "Renaming, columns, indexes and triggers of the table's own are no problem",
    arguments: StreamCapture.allCases
  )
  func harmless(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, v text)")
    try await database.admin.enable(table: "item", capture: capture, shardCount: 1)
    try await database.run(
      """
      ALTER TABLE item RENAME TO thing; CREATE SCHEMA other; ALTER TABLE thing SET SCHEMA other;
      ALTER TABLE other.thing ADD COLUMN w int, ALTER COLUMN id TYPE bigint;
      CREATE INDEX ON other.thing (v); CREATE PUBLICATION whole FOR TABLE other.thing;
      CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
      CREATE TRIGGER own BEFORE INSERT ON other.thing FOR EACH ROW EXECUTE FUNCTION nothing()
      """
    )
    #expect(try await problems(database) == [])
  }

  @Test("Every partition is checked")
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
    try await database.admin.enable(table: "item", shardCount: 1)
    #expect(try await problems(database) == [])
    try await database.run("ALTER TABLE higher DISABLE TRIGGER ALL")
    #expect(try await problems(database).map(\.problem).first??.contains("of public.higher:") == true)
  }

  @Test("All streams of tables are checked, or one")
  func allOrOne() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE gone (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", shardCount: 1)
    try await database.admin.enable(table: "gone", shardCount: 1)
    try await database.admin.create("events", shardCount: 1)
    try await database.run("DROP TABLE gone")
    let all = try await database.admin.conditions()
    #expect(Set(all.map(\.stream)).count == 2, "a stream without a table has no conditions")
    #expect(all.filter { $0.problem != nil }.map(\.problem) == ["the table public.gone is gone"])
    let one = try await database.admin.conditions(of: "item")
    #expect(one.count > 5 && one.allSatisfy { $0.problem == nil && $0.advice == nil })
    let error = try await #require(throws: TidemarkError.self) {
      _ = try await database.admin.conditions(of: "nothing")
    }
    #expect(error.code == .streamNotFound)
  }

  @Test("A worker tells of a problem when it comes, when it changes and when it is gone")
  func log() {
    func problem(_ name: String, _ text: String, goneAt: Timestamp? = nil) -> PostgresStreamProblem {
      let time = Timestamp(microsecondsSinceEpoch: 1)
      return PostgresStreamProblem(
        stream: "item/1",
        condition: name,
        problem: text,
        advice: "",
        wellAt: time,
        foundAt: time,
        goneAt: goneAt,
        isMended: false
      )
    }
    var log = ProblemLog()
    #expect(log.news(in: []) == [])
    #expect(log.news(in: [problem("key", "a")]) == [problem("key", "a")])
    #expect(log.news(in: [problem("key", "a"), problem("triggers", "b")]) == [problem("triggers", "b")])
    #expect(log.news(in: [problem("key", "c"), problem("triggers", "b")]) == [problem("key", "c")])
    let gone = problem("key", "c", goneAt: Timestamp(microsecondsSinceEpoch: 2))
    #expect(log.news(in: [gone, problem("triggers", "b")]) == [gone])
    #expect(log.news(in: [gone, problem("triggers", "b")]) == [])
  }
}
