import LibPQ
import TestSupport

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// A database with one stream (`item`, of a table of one role in the schema of another) that principals have their rights
/// to, one that is nobody's but the schema's owner's (`secret`), one for records (`events`), and leases, workers, dead letters
/// and snapshots of the applications `mine` and `other`.
struct AttackedDatabase: Sendable {
  let database: StreamDatabase
  let roles: StreamRoles

  static let principals = [
    "connected", "writer", "owner", "landlord", "producer", "consumer", "capturer", "administrator",
    "expirer", "monitor",
  ]

  private static let made = Task { try await make() }

  /// One for all attacks: if they fail, nothing is changed by them.
  static func shared() async throws -> AttackedDatabase { try await made.value }

  private static func make() async throws -> AttackedDatabase {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    for principal in principals { try await roles.create(principal) }
    try await database.run(
      """
      CREATE SCHEMA shop AUTHORIZATION \(roles.name("landlord"));
      GRANT USAGE ON SCHEMA shop TO PUBLIC;
      CREATE TABLE shop.item (id int PRIMARY KEY, expires_at timestamptz);
      ALTER TABLE shop.item OWNER TO \(roles.name("owner"));
      GRANT INSERT, UPDATE, DELETE ON shop.item TO \(roles.name("writer"));
      CREATE TABLE secret (id int PRIMARY KEY, expires_at timestamptz)
      """
    )
    let admin = database.admin
    try await admin.enable(table: "shop.item", name: "item", shardCount: 1, expiryColumn: "expires_at")
    try await admin.enable(table: "secret", shardCount: 1, expiryColumn: "expires_at")
    try await admin.create("events", shardCount: 1)
    try await admin.grant(.producer, to: roles.name("producer"), stream: "events")
    try await admin.grant(.consumer, to: roles.name("consumer"), stream: "item", application: "mine")
    for (role, kind) in [
      ("capturer", PostgresRole.capturer), ("administrator", .administrator), ("expirer", .expirer),
    ] {
      try await admin.grant(kind, to: roles.name(role), stream: "item")
    }
    try await admin.grant(.monitor, to: roles.name("monitor"))
    let leases = try database.leases()
    try await leases.grant(.consumer, to: roles.name("consumer"), application: "mine", stream: "item")
    try await leases.grant(.monitor, to: roles.name("monitor"))
    try await database.run(
      """
      INSERT INTO shop.item VALUES (1, now() - interval '1 h'), (2, NULL);
      INSERT INTO secret VALUES (1, now() - interval '1 h'), (2, NULL);
      SELECT tidemark.put('events', 'k', 'x');
      SELECT tidemark.advance(s.stream_id) FROM tidemark.stream AS s;
      INSERT INTO shop.item VALUES (3);
      INSERT INTO secret VALUES (3);
      INSERT INTO tidemark.snapshot (stream_id, application, partition_ordinal, completed_at)
        SELECT s.stream_id, a, 7, now() FROM tidemark.stream AS s, unnest('{mine,other}'::text[]) AS a;
      INSERT INTO tidemark_leases.lease_scope (application) SELECT unnest('{mine,other}'::text[]);
      INSERT INTO tidemark_leases.plan_turn SELECT application FROM tidemark_leases.lease_scope;
      INSERT INTO tidemark_leases.lease (application, stream, shard_id, parent_shard_ids, owner, checkpoint, pending_state)
        SELECT application, s, 'a', '{}', 1, 'TRIM_HORIZON', 'x'
        FROM tidemark_leases.lease_scope, unnest('{item,secret}'::text[]) AS s;
      INSERT INTO tidemark_leases.worker (application, worker_id, host, process_id, failover_interval, has_session,
          server_started_at, registered_at, heartbeat_at, heartbeating_since)
        SELECT application, 'w', 'h', 1, '3 s', false, now(), now(), now(), now() FROM tidemark_leases.lease_scope;
      INSERT INTO tidemark_leases.worker_stream
        SELECT application, incarnation, s FROM tidemark_leases.worker, unnest('{item,secret}'::text[]) AS s;
      INSERT INTO tidemark_leases.dead_letter (application, stream, shard_id, sequence_number, sub_sequence_number,
          partition_key, approximate_creation_time, data, attempts, reason)
        SELECT application, stream, 'a', '1', 0, 'k', now(), 'x', 1, 'r' FROM tidemark_leases.lease;

      -- All that both schemas hold, and who may do what in them.
      CREATE FUNCTION state() RETURNS SETOF text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
      DECLARE
        name regclass;
      BEGIN
        FOR name IN SELECT c.oid FROM pg_class AS c WHERE c.relkind = 'r'
          AND (c.relnamespace IN ('tidemark'::regnamespace, 'tidemark_leases'::regnamespace, 'shop'::regnamespace)
            OR c.oid = 'public.secret'::regclass) ORDER BY c.oid
        LOOP
          RETURN QUERY EXECUTE format('SELECT %L || t::text FROM ONLY %s AS t ORDER BY 1', name || ' ', name);
          RETURN QUERY SELECT format('%s of %s: %s', name, c.relowner, c.relacl) FROM pg_class AS c WHERE c.oid = name;
        END LOOP;
        RETURN QUERY SELECT format('%s %s of %s: %s', p.oid, pg_get_functiondef(p.oid), p.proowner, p.proacl)
          FROM pg_proc AS p WHERE p.pronamespace IN ('tidemark'::regnamespace, 'tidemark_leases'::regnamespace)
          ORDER BY 1;
        RETURN QUERY SELECT format('%s %s', t.tgname, t.tgenabled) FROM pg_trigger AS t ORDER BY 1;
        RETURN QUERY SELECT s.last_value::text FROM tidemark.inbox_1_id_seq AS s;
      END $$
      """
    )
    return AttackedDatabase(database: database, roles: roles)
  }

  func state() async throws -> [String] {
    try await database.pool.query("SELECT * FROM public.state()").map { try $0.decode(String.self) }
  }

  /// What each statement gave to a role: how many rows, or the error.
  func outcomes(of statements: [String], by role: String) async throws -> [(
    String, Result<Int, PQError>
  )] {
    let pool = try roles.pool(role)
    var outcomes: [(String, Result<Int, PQError>)] = []
    for statement in statements {
      do {
        let rows = try await pool.query(PQStatement(stringLiteral: statement))
        outcomes.append((statement, .success(rows.count)))
      } catch let error as PQError {
        outcomes.append((statement, .failure(error)))
      }
    }
    await pool.close()
    return outcomes
  }
}
