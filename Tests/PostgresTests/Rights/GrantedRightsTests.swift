import LibPQ
import TestSupport
import Testing

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("Rights that were given", .sharesMachine)
struct GrantedRightsTests {
  private func make(_ names: [String]) async throws -> (StreamDatabase, StreamRoles) {
    let database = try await StreamDatabase.make()
    for name in names { try await database.admin.create(name, shardCount: 1) }
    return (database, StreamRoles(database: database))
  }

  private func answers(_ statements: [String], to role: String, _ roles: StreamRoles) async throws -> [Bool] {
    let pool = try roles.pool(role)
    var answers: [Bool] = []
    for statement in statements {
      do {
        answers.append(try await !pool.query(PQStatement(stringLiteral: statement)).isEmpty)
      } catch is PQError {
        answers.append(false)
      }
    }
    await pool.close()
    return answers
  }

  @Test("reach the stream that they name, and no other")
  func oneStream() async throws {
    let (database, roles) = try await make(["a", "b"])
    for role in ["producer", "other"] { try await roles.create(role) }
    try await database.admin.grant(.producer, to: roles.name("producer"), stream: "a")
    try await database.admin.grant(.producer, to: roles.name("other"), stream: "b")
    let put = ["SELECT tidemark.put('a', 'k', 'x')", "SELECT tidemark.put('b', 'k', 'x')"]
    #expect(try await answers(put, to: "producer", roles) == [true, false])
    #expect(try await database.number("SELECT count(*) FROM tidemark.inbox_1") == 1)
    #expect(try await database.number("SELECT count(*) FROM tidemark.inbox_2") == 0)
    try await roles.drop("producer", "other")
  }

  @Test("take %, _ and \\ in a pattern for what they are, and * for any characters")
  func patterns() async throws {
    let names = ["a%c", "abc", "a_c", #"a\c"#, "a", "", "A"].filter { !$0.isEmpty }
    let (database, roles) = try await make(names)
    for (pattern, matched) in [
      ("a%c", ["a%c"]), ("a_c", ["a_c"]), (#"a\c"#, [#"a\c"#]), ("a*", ["a", "a%c", #"a\c"#, "a_c", "abc"]),
      ("%", []),
      (#"a\*"#, [#"a\c"#]), ("*c", ["a%c", #"a\c"#, "a_c", "abc"]), ("a", ["a"]),
    ] {
      try await roles.create("reader")
      try await database.admin.grant(.monitor, to: roles.name("reader"), stream: pattern)
      let pool = try roles.pool("reader")
      let seen = try await pool.query("SELECT name FROM tidemark.stream").map { try $0.decode(String.self) }
      #expect(Set(seen) == Set(matched), "\(pattern)")
      await pool.close()
      try await roles.drop("reader")
    }
  }

  @Test("go with their role: another one of its name that belongs to a group has the group's")
  func madeAgain() async throws {
    let (database, roles) = try await make(["a", "b"])
    for role in ["group", "member"] { try await roles.create(role) }
    let leases = try database.leases()
    try await database.admin.grant(.consumer, to: roles.name("member"))
    try await leases.grant(.consumer, to: roles.name("member"))
    try await database.admin.grant(.consumer, to: roles.name("group"), stream: "a", application: "mine")
    try await leases.grant(.consumer, to: roles.name("group"), application: "mine", stream: "a")
    try await database.run(
      "INSERT INTO tidemark_leases.lease_scope (application) VALUES ('mine'), ('other')"
    )
    try await roles.drop("member")
    try await roles.create("member")
    try await database.run("GRANT \(roles.name("group")) TO \(roles.name("member"))")
    let tried = [
      "SELECT tidemark.advance(1)", "SELECT tidemark.advance(2)",
      "SELECT * FROM tidemark.stream WHERE name = 'b'",
      "SELECT * FROM tidemark_leases.lease_scope WHERE application = 'other'",
      "SELECT tidemark.begin_making(1, 'other')",
    ]
    #expect(try await answers(tried, to: "member", roles) == [true, false, false, false, false])
    // Nor do they come back with the next right.
    try await database.admin.grant(.monitor, to: roles.name("member"), stream: "a")
    #expect(try await answers(tried, to: "member", roles) == [true, false, false, false, false])
    try await roles.drop("group", "member")
  }

  @Test("of a monitor of all and a consumer of one are not those of a consumer of all")
  func monitorAndConsumer() async throws {
    let (database, roles) = try await make(["a", "b"])
    try await roles.create("both")
    let leases = try database.leases()
    try await database.admin.grant(.monitor, to: roles.name("both"))
    try await leases.grant(.monitor, to: roles.name("both"))
    try await database.admin.grant(.consumer, to: roles.name("both"), stream: "a", application: "mine")
    try await leases.grant(.consumer, to: roles.name("both"), application: "mine", stream: "a")
    try await database.run(
      """
      SELECT tidemark.put(n, 'k', 'x') FROM unnest('{a,b}'::text[]) AS n;
      SELECT tidemark.advance(1), tidemark.advance(2);
      INSERT INTO tidemark_leases.lease_scope (application) VALUES ('mine'), ('other');
      """
    )
    let tried = [
      "SELECT * FROM tidemark.log_1_1", "SELECT * FROM tidemark.log_2_1", "SELECT tidemark.advance(2)",
      "SELECT * FROM tidemark_leases.visible_scope WHERE application = 'other'",
      "SELECT * FROM tidemark_leases.lease_scope WHERE application = 'other'",
      "UPDATE tidemark_leases.lease_scope SET change_version = 9 WHERE application = 'other' RETURNING 1",
    ]
    #expect(try await answers(tried, to: "both", roles) == [true, false, false, true, false, false])
    try await roles.drop("both")
  }

  @Test("of a monitor of one application and stream show nothing of others, whatever it looks at")
  func monitorOfOne() async throws {
    let (database, roles) = try await make([])
    try await roles.create("monitor")
    let leases = try database.leases()
    try await leases.grant(.monitor, to: roles.name("monitor"), application: "mine", stream: "a")
    try await database.run(
      """
      INSERT INTO tidemark_leases.lease_scope (application) VALUES ('mine'), ('other');
      INSERT INTO tidemark_leases.lease (application, stream, shard_id, parent_shard_ids, checkpoint)
        VALUES ('mine', 'a', 's', '{}', 'TRIM_HORIZON'), ('mine', 'b', 's', '{}', 'TRIM_HORIZON'),
          ('other', 'a', 's', '{}', 'TRIM_HORIZON');
      INSERT INTO tidemark_leases.worker (application, worker_id, host, process_id, failover_interval, has_session,
          server_started_at, registered_at, heartbeat_at, heartbeating_since)
        SELECT application, 'w', 'h', 1, '3 s', false, now(), now(), now(), now() FROM tidemark_leases.lease_scope;
      INSERT INTO tidemark_leases.worker_stream SELECT application, incarnation, 'a' FROM tidemark_leases.worker;
      INSERT INTO tidemark_leases.lease_load
        SELECT application, stream, 's', 1, 1, 1, now() FROM tidemark_leases.lease;
      INSERT INTO tidemark_leases.dead_letter (application, stream, shard_id, sequence_number, sub_sequence_number,
          partition_key, approximate_creation_time, data, attempts, reason)
        SELECT application, stream, 's', '1', 0, 'k', now(), 'x', 1, 'r' FROM tidemark_leases.lease
      """
    )
    let pool = try roles.pool("monitor")
    for view in ["visible_scope", "visible_worker"] {
      let seen = try await pool.query("SELECT application FROM tidemark_leases.\(identifier: view)")
        .map { try $0.decode(String.self) }
      #expect(seen == ["mine"], "\(view)")
    }
    for view in ["visible_lease", "visible_worker_stream", "visible_load", "dead_letter_count"] {
      let seen = try await pool.query(
        "SELECT application || ' ' || stream FROM tidemark_leases.\(identifier: view)"
      ).map { try $0.decode(String.self) }
      #expect(seen == ["mine a"], "\(view)")
    }
    await pool.close()
    try await roles.drop("monitor")
  }

  @Test("to a snapshot are those of its application alone")
  func snapshots() async throws {
    let (database, roles) = try await make([])
    for role in ["maker", "other"] { try await roles.create(role) }
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item SELECT generate_series(1, 5);
      GRANT SELECT ON item TO \(roles.name("maker")), \(roles.name("other"))
      """
    )
    try await database.admin.enable(table: "item", shardCount: 1)
    try await database.admin.grant(.consumer, to: roles.name("maker"), stream: "item", application: "mine")
    try await database.admin.grant(.consumer, to: roles.name("other"), stream: "item", application: "other")
    let pool = try StreamDatabase.makePool(roles.url("maker"), connections: 1)
    try await pool.withConnection {
      try await $0.executeScript(
        """
        BEGIN ISOLATION LEVEL REPEATABLE READ;
        LOCK TABLE tidemark.turn_1 IN SHARE UPDATE EXCLUSIVE MODE;
        SELECT tidemark.begin_making(1, 'mine');
        SELECT tidemark.begin_snapshot(1, 'mine');
        COMMIT;
        """
      )
    }
    let copy = """
      SELECT tidemark.copy_1(n.partition_ordinal, '{0}', '{2}', 0, 'item', 0, 100) FROM tidemark.snapshot AS n
      """
    let attacks = [
      copy.replacing("n.partition_ordinal", with: "1").replacing("FROM tidemark.snapshot AS n", with: ""),
      "SELECT tidemark.begin_making(1, 'mine')", "SELECT tidemark.complete_snapshot(1, 'mine', 0)",
      "SELECT * FROM tidemark.log_1_1", "SELECT * FROM tidemark.shard WHERE application IS NOT NULL",
    ]
    #expect(try await answers(attacks, to: "other", roles) == [false, false, false, false, false])
    try await pool.execute(PQStatement(stringLiteral: copy))
    try await pool.execute("SELECT tidemark.complete_snapshot(1, 'mine', 5)")
    #expect(try await pool.query("SELECT * FROM tidemark.log_1_1").count == 5)
    #expect(try await answers(["DELETE FROM tidemark.log_1_1 RETURNING 1"], to: "maker", roles) == [false])
    #expect(try await answers(attacks, to: "other", roles) == [false, false, false, false, false])
    #expect(try await answers(["SELECT * FROM tidemark.log_1"], to: "other", roles) == [false])
    #expect(try await database.number("SELECT row_count FROM tidemark.snapshot") == 5)
    await pool.close()
    try await roles.drop("maker", "other")
  }

  @Test("are not added to by default privileges of the schema's owner")
  func defaultPrivileges() async throws {
    let url = try await TestServer.shared().makeDatabase()
    let pool = try StreamDatabase.makePool(url, connections: 2)
    let database = StreamDatabase(url: url, pool: pool, admin: PostgresStreamAdmin(pool))
    let roles = StreamRoles(database: database)
    try await roles.create("reader")
    let reader = roles.name("reader")
    try await database.run(
      """
      ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO \(reader), PUBLIC;
      ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO \(reader), PUBLIC;
      ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO \(reader), PUBLIC
      """
    )
    try await Migrator.migrateUnderTest(pool, logger: StreamDatabase.logger)
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY);
      SELECT tidemark.enable_stream('item');
      INSERT INTO item VALUES (1);
      SELECT tidemark.advance(1)
      """
    )
    let open = try await pool.query(
      """
      SELECT o.name FROM (
        SELECT c.oid::regclass::text, c.relnamespace, c.relowner, c.relacl FROM pg_class AS c
        UNION ALL
        SELECT p.oid::regprocedure::text, p.pronamespace, p.proowner, p.proacl FROM pg_proc AS p
      ) AS o (name, namespace, owner, acl) CROSS JOIN aclexplode(o.acl) AS a
      WHERE o.namespace IN ('tidemark'::regnamespace, 'tidemark_leases'::regnamespace) AND a.grantee <> o.owner
      """
    ).map { try $0.decode(String.self) }
    #expect(open == [])
    await pool.close()
  }
}
