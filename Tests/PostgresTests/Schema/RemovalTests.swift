import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import TidemarkStreams

@Suite("Removal", .sharesMachine)
struct RemovalTests {
  /// All that a database has of its own, apart from the contents of tables.
  private func catalog(of database: StreamDatabase) async throws -> [String] {
    try await database.pool.query(
      """
      SELECT o FROM (
        SELECT format('class %s.%s %s %s %s', c.relnamespace::regnamespace, c.relname, c.relkind, c.relreplident, c.relacl)
          FROM pg_class AS c WHERE c.oid >= 16384 AND c.relnamespace <> 'pg_toast'::regnamespace
        UNION ALL
        SELECT format('function %s %s', p.oid::regprocedure, p.proacl) FROM pg_proc AS p WHERE p.oid >= 16384
        UNION ALL
        SELECT format('trigger %s on %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger AS t WHERE t.oid >= 16384
        UNION ALL
        SELECT format('type %s %s', t.oid::regtype, t.typacl) FROM pg_type AS t WHERE t.oid >= 16384
          AND t.typnamespace <> 'pg_toast'::regnamespace
        UNION ALL
        SELECT 'publication ' || p.pubname FROM pg_publication AS p
        UNION ALL
        SELECT 'slot ' || r.slot_name FROM pg_replication_slots AS r WHERE r.database = current_database()
        UNION ALL
        SELECT format('namespace %s %s', n.nspname, n.nspacl) FROM pg_namespace AS n WHERE n.nspname !~ '^pg_'
        UNION ALL
        SELECT format('default %s', d.defaclacl) FROM pg_default_acl AS d
        UNION ALL
        SELECT format('policy %s', p.polname) FROM pg_policy AS p
        UNION ALL
        SELECT format('database %s', d.datacl) FROM pg_database AS d WHERE d.datname = current_database()
      ) AS a (o) ORDER BY o
      """
    ).map { try $0.decode(String.self) }
  }

  private func removeSchemas(of database: StreamDatabase) async throws {
    for schema in [TidemarkSchema.leases, .streams] {
      try await Migrator(database.pool, schema: schema, logger: StreamDatabase.logger).remove()
    }
  }

  @Test("Nothing is left of Tidemark in a database that had all of it")
  func everything() async throws {
    let url = try await TestServer.shared().makeDatabase()
    let pool = try StreamDatabase.makePool(url, connections: 6)
    let database = StreamDatabase(url: url, pool: pool, admin: PostgresStreamAdmin(pool))
    let role = "tidemark_role_" + UUID().uuidString.lowercased().replacing("-", with: "")
    try await database.run(
      """
      CREATE ROLE \(role);
      CREATE TABLE items (id int PRIMARY KEY, ends timestamptz);
      ALTER TABLE items OWNER TO \(role);
      CREATE TABLE decoded (id int PRIMARY KEY, other int NOT NULL UNIQUE);
      ALTER TABLE decoded REPLICA IDENTITY USING INDEX decoded_other_key;
      CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE part PARTITION OF parts FOR VALUES FROM (1) TO (10);
      GRANT SELECT ON items TO PUBLIC;
      ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO \(role)
      """
    )
    let before = try await catalog(of: database)
    try await Migrator.migrateUnderTest(pool, logger: StreamDatabase.logger)
    for table in ["items", "parts"] { try await database.admin.enable(table: table) }
    try await database.admin.enable(table: "decoded", capture: .logical)
    try await database.admin.create("clicks")
    try await database.admin.grant(.consumer, to: role)
    try await database.leases().grant(.consumer, to: role)
    try await database.run(
      """
      INSERT INTO items SELECT g FROM generate_series(1, 20) AS g;
      """
    )
    try await database.run(
      "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT tidemark.begin_snapshot(1, 'half'); COMMIT"
    )
    try await database.run(
      """
      INSERT INTO tidemark_leases.lease_scope (application) VALUES ('a')
      """
    )
    try await database.admin.disable("items")
    #expect(try await database.admin.dropAll().isEmpty)
    try await removeSchemas(of: database)
    #expect(try await catalog(of: database) == before)
    // Again, where nothing is left.
    try await removeSchemas(of: database)
    #expect(try await catalog(of: database) == before)
    try await database.run("DROP OWNED BY \(role); DROP ROLE \(role)")
  }

  @Test("What somebody has locked is left, is named, and goes the next time")
  func locked() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)")
    for table in ["a", "b"] { try await database.admin.enable(table: table) }
    try await database.pool.transaction { transaction in
      try await transaction.execute("LOCK TABLE a IN ACCESS SHARE MODE")
      let left = try await database.admin.dropAll()
      #expect(left.count == 1)
      #expect(left.first?.subject.hasPrefix("stream a/") == true)
      #expect(left.first?.problem.contains("held by") == true)
      // It does not capture any more.
      #expect(try await database.admin.describe("a").status == .disabled)
    }
    #expect(try await database.admin.dropAll().isEmpty)
    #expect(try await database.admin.list().isEmpty)
  }

  @Test("A stream is dropped for good, and another one of the name begins after it")
  func stream() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE items (id int PRIMARY KEY)")
    try await database.admin.enable(table: "items")
    try await database.run("INSERT INTO items SELECT g FROM generate_series(1, 20) AS g")
    try await database.admin.disable("items")
    try await database.admin.enable(table: "items")
    try await database.run("INSERT INTO items SELECT g FROM generate_series(21, 40) AS g")
    try await database.admin.disable("items")
    let middle = try await database.admin.describe("items").fullName
    try await database.admin.enable(table: "items")
    try await database.run("INSERT INTO items SELECT g FROM generate_series(41, 60) AS g")
    try await database.admin.drop(middle)
    let leftovers = "SELECT count(*) FROM pg_class WHERE relname ~ '^(inbox|log|turn)_2'"
    #expect(try await database.number(leftovers) == 0)
    // The first leads to the last.
    #expect(
      try await database.number(
        """
        SELECT count(*) FROM tidemark.shard c WHERE c.stream_id = 3 AND NOT EXISTS (
          SELECT FROM tidemark.shard p WHERE p.stream_id = 1 AND p.shard_id = ANY (c.parent_ids))
        """
      ) == 0
    )
    #expect(try await database.stream("items").readAll().count == 40)
    try await database.admin.drop("items")
    try await database.run("INSERT INTO items VALUES (61)")
    #expect(try await database.admin.list().count == 1)
  }

  @Test("An application is deleted with its dead letters, unless one of its workers lives")
  func application() async throws {
    let database = try await StreamDatabase.make()
    let store = try database.leases()
    let tables = [
      "lease_scope", "lease", "worker", "worker_stream", "plan_turn", "lease_load", "dead_letter",
    ]
    for application in ["a", "b"] {
      try await database.run(
        """
        INSERT INTO tidemark_leases.lease_scope (application) VALUES ('\(application)');
        INSERT INTO tidemark_leases.plan_turn VALUES ('\(application)');
        INSERT INTO tidemark_leases.lease_load VALUES ('\(application)', 's/1', 'x', 1, 1, 1, now());
        INSERT INTO tidemark_leases.lease (application, stream, shard_id, parent_shard_ids, checkpoint)
          VALUES ('\(application)', 's/1', 'x', '{}', 'TRIM_HORIZON');
        INSERT INTO tidemark_leases.worker (application, worker_id, host, process_id, failover_interval,
            has_session, server_started_at, registered_at, heartbeat_at, heartbeating_since, session_role)
          VALUES ('\(application)', 'w', 'h', 1, '1 hour', true, now(), now(), now(), now(), 10);
        INSERT INTO tidemark_leases.worker_stream
          SELECT application, incarnation, 's/1' FROM tidemark_leases.worker WHERE application = '\(application)';
        INSERT INTO tidemark_leases.dead_letter (application, stream, shard_id, sequence_number, sub_sequence_number,
            partition_key, approximate_creation_time, data, attempts, reason)
          VALUES ('\(application)', 's/1', 'x', '1', 0, 'k', now(), '', 1, 'r')
        """
      )
    }
    await #expect {
      try await store.deleteApplication("a")
    } throws: {
      ($0 as? TidemarkError)?.code == .invalidConfiguration
    }
    try await database.run("UPDATE tidemark_leases.worker SET state = 'dead'")
    #expect(try await store.deleteApplication("a", stream: "t").isEmpty)
    #expect(try await store.deleteApplication("a", stream: "s") == ["s/1"])
    #expect(try await store.deleteApplication("a") == ["s/1"], "it still has workers that served it")
    #expect(try await store.deleteApplication("a").isEmpty)
    for table in tables {
      #expect(
        try await database.text("SELECT string_agg(application, ',') FROM tidemark_leases.\(table)") == "b"
      )
    }
  }
}
