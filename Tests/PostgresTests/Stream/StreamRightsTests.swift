import LibPQ
import ServiceLifecycle
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("Rights on streams", .sharesMachine)
struct StreamRightsTests {
  /// What nobody may do but the owner of the schema.
  private static let neverAllowed = [
    "INSERT INTO tidemark.log_1 (shard_ordinal, sequence_number, partition_key, size_in_bytes, created_at) VALUES (0, 1, '', 0, now())",
    "INSERT INTO tidemark.inbox_1 (partition_key, data) VALUES ('k', '')",
    "UPDATE tidemark.log_1 SET partition_key = 'k'", "DELETE FROM tidemark.log_1",
    "TRUNCATE tidemark.inbox_1",
    "SELECT * FROM tidemark.inbox_1", "DROP TABLE tidemark.log_1", "CREATE TABLE tidemark.mine (id int)",
    "INSERT INTO tidemark.expiry_run VALUES (1, pg_current_xact_id())",
    "UPDATE tidemark.stream SET status = 'DISABLED'", "DELETE FROM tidemark.shard",
    "DELETE FROM tidemark.step",
    "SELECT tidemark.grant_role('consumer', current_user)",
    "SELECT tidemark.sequence_inbox(1, 1, 1)",
    "SELECT tidemark.close_shards(1, '{0}')", "SELECT tidemark.split_open_shard(1, 'x', 1)",
    "SELECT tidemark.end_stream(1)",
    "UPDATE tidemark.access SET stream = '*'", "SELECT tidemark.appear('snapshot of 1 for a')",

    "SELECT tidemark.create_capture_function(1)", "SELECT tidemark.create_triggers(1)",
    "DELETE FROM tidemark.stream_problem", "UPDATE tidemark.conditions_look SET looked_at = 'infinity'",
    "DELETE FROM tidemark.put_token",
    """
    CREATE TEMPORARY TABLE mine (id int PRIMARY KEY);
    CREATE TRIGGER forge AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION tidemark.capture_1()
    """,
    "ALTER TABLE item DISABLE TRIGGER ALL", "SET session_replication_role = replica",
  ]
  private static let administration = [
    "SELECT tidemark.create_stream('mine')", "SELECT tidemark.enable_stream('item', 'mine')",
    "SELECT tidemark.disable_stream(1)", "SELECT tidemark.fail_stream(1, 'x')",
    "SELECT tidemark.split_shard(1, 'x')",
    "SELECT tidemark.merge_shards(1, 'x', 'y')",
    "SELECT tidemark.alter_stream(1, '1 h', NULL, NULL, NULL, '1 s', 1, 1, 1048576, NULL)",
  ]

  private func makeStream() async throws -> (StreamDatabase, StreamRoles) {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, expires_at timestamptz)")
    try await database.admin.enable(table: "item", shardCount: 2, expiryColumn: "expires_at")
    return (database, StreamRoles(database: database))
  }

  @Test("A role that writes to a table needs no right on its stream, and has none")
  func writer() async throws {
    let (database, roles) = try await makeStream()
    try await roles.create("writer")
    let name = roles.name("writer")
    try await database.run("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON item TO \(name)")
    let pool = try roles.pool("writer")
    try await pool.withConnection { connection in
      try await connection.executeScript(
        """
        INSERT INTO item VALUES (1), (2); UPDATE item SET expires_at = now() + interval '1 h' WHERE id = 1;
        DELETE FROM item WHERE id = 1; TRUNCATE item
        """
      )
    }
    await pool.close()
    #expect(try await database.stream("item").readAll().count == 5)
    let forbidden =
      Self.neverAllowed + Self.administration + [
        "SELECT * FROM tidemark.own_capture", "SELECT tidemark.copy_1(1, '{0}', '{0}', 0, 'item', 0, 1)",
        "SELECT * FROM tidemark.log_1", "SELECT * FROM tidemark.stream",
        "SELECT tidemark.put('item', 'k', '')",
        "SELECT tidemark.advance(1)", "SELECT tidemark.begin_expiry(1, 1)",
        "SELECT tidemark.maintain_stream(1)",
        "SELECT * FROM tidemark_leases.lease",
      ]
    try await roles.expectDenied(forbidden, to: "writer")
    // The right to name things of the schema changes nothing of that.
    try await database.run("GRANT USAGE ON SCHEMA tidemark TO \(name)")
    try await roles.expectDenied(forbidden, to: "writer")
    try await roles.drop("writer")
  }

  @Test("A consumer does all that a worker does, with streams that came later, too, and changes nothing")
  func consumer() async throws {
    let (database, roles) = try await makeStream()
    try await roles.create("consumer")
    try await database.admin.grant(.consumer, to: roles.name("consumer"))
    let leases = try database.leases()
    try await leases.grant(.consumer, to: roles.name("consumer"), application: "test")
    try await database.run("CREATE TABLE items (id bigint PRIMARY KEY, note text)")
    try await database.admin.enable(table: "items")
    try await database.run("INSERT INTO items SELECT i, 'n' FROM generate_series(1, 100) i")
    var configuration = WorkerConfiguration()
    configuration.failurePolicy.maximumAttempts = 1
    let handled = PostgresWorkerTests.Handled()
    let worker = try Worker(
      application: "test",
      stream: "items",
      database: roles.url("consumer"),
      configuration: configuration,
      logger: StreamDatabase.logger,
      processor: {
        PostgresWorkerTests.Collector(shardID: $0.shardID, handled: handled) {
          $0.keys.description == #"{"id":7}"#
        }
      }
    )
    let group = ServiceGroup(services: [worker], logger: StreamDatabase.logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      try await eventually("all are handled") { Set(handled.ids).count == 99 }
      try await database.run(
        "UPDATE tidemark.log_partition SET created_at = created_at - interval '2 h'; INSERT INTO items VALUES (101)"
      )
      try await eventually("a later partition is read") { handled.ids.contains(101) }
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
    #expect(try await database.number("SELECT count(*) FROM tidemark_leases.dead_letter") == 1)
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_partition") == 2)
    let pool = try roles.pool("consumer")
    try await PostgresStreamAdmin(pool).maintain()
    // It may not alter the table, and its worker has it put right.
    try await database.run("ALTER TABLE items DISABLE TRIGGER ALL")
    #expect(try await PostgresStreamAdmin(pool).watchConditions().allSatisfy { $0.isMended })
    let stream = PostgresStream("items", pool: pool, logger: StreamDatabase.logger)
    let reader = try await stream.reader(
      of: try await stream.shards()[0].id,
      after: .atTimestamp(Timestamp(microsecondsSinceEpoch: 0))
    )
    #expect(try await !reader.nextPage(maximumRecords: 10).records.isEmpty)
    await pool.close()
    let forbidden = ["SELECT * FROM item", "DELETE FROM items", "SELECT tidemark.put('item', 'k', '')"]
    try await roles.expectDenied(Self.neverAllowed + Self.administration + forbidden, to: "consumer")
    try await database.admin.revokeAll(from: roles.name("consumer"))
    try await leases.revokeAll(from: roles.name("consumer"))
    try await roles.expectDenied(
      ["SELECT * FROM tidemark.log_2", "SELECT tidemark.advance(2)", "SELECT * FROM tidemark_leases.lease"],
      to: "consumer"
    )
    // It may own a table that is captured, and need this for that.
    try await database.run("GRANT USAGE ON SCHEMA tidemark, tidemark_leases TO \(roles.name("consumer"))")
    try await roles.expectDenied(
      [
        "SELECT * FROM tidemark.log_2_1", "SELECT * FROM tidemark.stream", "SELECT tidemark.advance(2)",
        "SELECT * FROM tidemark_leases.lease", "SELECT * FROM tidemark_leases.visible_lease",
        "SELECT tidemark_leases.enter_history()",
      ],
      to: "consumer"
    )
    try await roles.drop("consumer")
  }

  @Test("A consumer of one stream reads that and what is later enabled under its name, and no other")
  func consumerOfOne() async throws {
    let (database, roles) = try await makeStream()
    try await database.admin.create("others")
    try await roles.create("consumer")
    try await database.admin.grant(.consumer, to: roles.name("consumer"), stream: "item")
    try await database.admin.disable("item")
    try await database.admin.enable(table: "item", shardCount: 1)
    try await database.run("INSERT INTO item VALUES (1)")
    let pool = try roles.pool("consumer")
    let stream = PostgresStream("item", pool: pool, logger: StreamDatabase.logger)
    #expect(try await stream.readAll().count == 1)
    await pool.close()
    try await roles.expectDenied(["SELECT * FROM tidemark.log_2"], to: "consumer")
    try await roles.drop("consumer")
  }

  @Test("An administrator makes, changes and ends streams, of tables that it may, and reads none")
  func administrator() async throws {
    let (database, roles) = try await makeStream()
    for role in ["admin", "owner"] { try await roles.create(role) }
    let name = roles.name("admin")
    try await database.admin.grant(.administrator, to: name)
    try await database.run(
      "CREATE TABLE mine (id int PRIMARY KEY, e int); CREATE TABLE other (id int PRIMARY KEY)"
    )
    try await database.run(
      "ALTER TABLE mine OWNER TO \(name); ALTER TABLE other OWNER TO \(roles.name("owner"))"
    )
    let pool = try roles.pool("admin")
    let admin = PostgresStreamAdmin(pool)
    let made = try await admin.create("events", shardCount: 1)
    let children = try await admin.split(made.shards[0].id, of: "events")
    _ = try await admin.merge(children[0], children[1], of: "events")
    try await admin.enable(table: "mine")
    try await admin.alter("mine") {
      $0.expiryColumn = "e"
      $0.retention = .seconds(60)
    }
    let refused = try await #require(throws: TidemarkError.self) { try await admin.enable(table: "other") }
    #expect(refused.code == .permissionDenied)
    #expect(refused.advice?.contains("GRANT \(roles.name("owner")) TO") == true)
    try await database.run("INSERT INTO mine VALUES (1, extract(epoch FROM now()) - 1)")
    try await admin.maintain()
    #expect(try await database.number("SELECT count(*) FROM mine") == 0)
    #expect(try await admin.disable("mine").status == .disabled)
    #expect(try await admin.list().count == 3)
    await pool.close()
    try await database.admin.enable(table: "other")
    try await database.admin.disable("other")
    let forbidden = [
      "SELECT * FROM tidemark.log_1", "SELECT tidemark.put('events', 'k', '')",
      "SELECT * FROM tidemark_leases.lease",
      "SELECT tidemark.disable_stream(1)", "SELECT tidemark.position_at(1, 0, now())",
      "SELECT tidemark.drop_stream(tidemark.find_stream('other'))",
    ]
    try await roles.expectDenied(Self.neverAllowed + forbidden, to: "admin")
    try await roles.drop("admin", "owner")
  }

  @Test("Whoever has given a table away writes nothing into its stream any more")
  func earlierOwner() async throws {
    let (database, roles) = try await makeStream()
    for role in ["first", "second"] { try await roles.create(role) }
    for role in ["first", "second"] {
      try await database.run("ALTER TABLE item OWNER TO \(roles.name(role))")
      #expect(try await database.admin.watchConditions().allSatisfy(\.isMended))
      try await database.run("INSERT INTO item VALUES (\(role == "first" ? 1 : 2))")
    }
    #expect(try await database.stream("item").readAll().count == 2)
    try await roles.expectDenied(
      ["INSERT INTO tidemark.inbox_1 (partition_key, data) VALUES ('k', '')"],
      to: "first"
    )
    try await database.run("DROP TABLE item")
    try await roles.drop("first", "second")
  }

  @Test("The secret of a capture is shown to its capturers and the table's owner")
  func secret() async throws {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    for role in ["owner", "other", "consumer", "capturer"] { try await roles.create(role) }
    for (table, role) in [("item", "owner"), ("others", "other")] {
      try await database.run(
        "CREATE TABLE \(table) (id int PRIMARY KEY); ALTER TABLE \(table) OWNER TO \(roles.name(role))"
      )
      try await database.admin.enable(table: table, capture: .logical)
    }
    try await database.admin.grant(.consumer, to: roles.name("consumer"))
    try await database.admin.grant(.capturer, to: roles.name("capturer"), stream: "item")
    let state = "SELECT message_prefix FROM tidemark.capture_state(tidemark.find_stream('item'))"
    let own = "SELECT min(message_prefix) || count(*) FROM tidemark.own_capture"
    let secrets = try await database.pool.query(
      "SELECT message_prefix FROM tidemark.logical_capture ORDER BY capture_id"
    ).map { try $0.decode(String.self) }
    for (role, query, expected) in [
      ("consumer", state, ""), ("capturer", state, secrets[0]), ("owner", own, secrets[0] + "1"),
      ("other", own, secrets[1] + "1"),
    ] {
      let pool = try roles.pool(role)
      let seen = try await pool.query(PQStatement(stringLiteral: query))[0].decode(String.self)
      #expect(seen == expected, "\(role)")
      await pool.close()
    }
    #expect(try await database.admin.dropAll().isEmpty)
    try await roles.drop("owner", "other", "consumer", "capturer")
  }

  @Test("A producer puts records, and does nothing else")
  func producer() async throws {
    let (database, roles) = try await makeStream()
    try await database.admin.create("events", shardCount: 1)
    try await roles.create("producer")
    try await database.admin.grant(.producer, to: roles.name("producer"))
    let pool = try roles.pool("producer")
    try await PostgresStreamAdmin(pool).put([1], partitionKey: "k", to: "events")
    await pool.close()
    #expect(try await database.stream("events").readAll().count == 1)
    try await roles.expectDenied(
      Self.neverAllowed + Self.administration + [
        "SELECT * FROM tidemark.log_2", "SELECT tidemark.advance(2)",
      ],
      to: "producer"
    )
    try await roles.drop("producer")
  }

  @Test("A role that lacks a right gets an error that says which command gives it, and to which role")
  func advice() async throws {
    let (database, roles) = try await makeStream()
    try await roles.create("stranger")
    let pool = try roles.pool("stranger")
    let (admin, stream) = (PostgresStreamAdmin(pool), PostgresStream("item", pool: pool))
    let store = PostgresLeaseStore(
      try PQConfiguration(url: roles.url("stranger")),
      pool: pool,
      logger: StreamDatabase.logger
    )
    let asked: [(String?, @Sendable () async throws -> Void)] = [
      ("consumer", { _ = try await stream.shards() }), ("consumer", { _ = try await store.scopes() }),
      ("producer", { try await admin.put([1], partitionKey: "k", to: "item") }),
      ("administrator", { try await admin.create("mine") }), (nil, { try await admin.revokeAll(from: "me") }),
    ]
    // The rights on the schema itself are missing first, then those in it.
    for rights in ["SELECT 1", "GRANT USAGE ON SCHEMA tidemark TO \(roles.name("stranger"))"] {
      try await database.run(rights)
      for (kind, ask) in asked {
        let error = try await #require(throws: TidemarkError.self) { try await ask() }
        #expect(error.code == .permissionDenied && error.message.contains("permission denied for"))
        let command = kind.map { "tidemark grant \($0) \(roles.name("stranger"))" }
        #expect(
          error.advice?.hasSuffix(command ?? "\(roles.name("stranger")) is neither.") == true,
          "\(error)"
        )
      }
    }
    await pool.close()
    try await roles.drop("stranger")
  }

  @Test("The schema's owner need be no superuser, if it belongs to the tables' owners")
  func ordinaryOwner() async throws {
    let url = try await TestServer.shared().makeDatabase()
    let pool = try StreamDatabase.makePool(url, connections: 2)
    let database = StreamDatabase(url: url, pool: pool, admin: PostgresStreamAdmin(pool))
    let roles = StreamRoles(database: database)
    for role in ["owner", "shop"] { try await roles.create(role) }
    try await database.run(
      """
      DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO \(roles.name("owner"))', current_database()); END $$;
      GRANT \(roles.name("shop")) TO \(roles.name("owner"));
      CREATE TABLE item (id int PRIMARY KEY, e timestamptz);
      ALTER TABLE item OWNER TO \(roles.name("shop"))
      """
    )
    let owned = try roles.pool("owner")
    try await Migrator.migrateUnderTest(owned, logger: StreamDatabase.logger)
    let admin = PostgresStreamAdmin(owned)
    try await admin.enable(table: "public.item", expiryColumn: "e")
    let shop = try roles.pool("shop")
    try await shop.execute("INSERT INTO item VALUES (1, now()), (2, NULL)")
    try await admin.maintain()
    #expect(try await database.number("SELECT id::bigint FROM item") == 2)
    #expect(try await PostgresStream("item", pool: owned).readAll().count == 3)
    let schema = try await database.text(
      "SELECT has_schema_privilege('\(roles.name("shop"))', 'tidemark', 'CREATE')::text"
    )
    #expect(schema == "false")
    await shop.close()
    await owned.close()
    try await roles.drop("owner", "shop")
  }

  @Test("Every function of the schema has a fixed search_path, and none is for everybody")
  func functions() async throws {
    let (database, _) = try await makeStream()
    // A body that was parsed when it was made looks nothing up any more.
    let unpinned = try await database.pool.query(
      """
      SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace
        AND (p.prosqlbody IS NULL OR p.prosecdef)
        AND p.prosrc <> 'SELECT pg_catalog.to_json($1)::pg_catalog.text' AND p.prokind <> 'p'
        AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=pg_catalog, %pg_temp')
      """
    ).map { try $0.decode(String.self) }
    #expect(unpinned == [])
    let open = try await database.pool.query(
      """
      SELECT p.oid::regprocedure::text FROM pg_proc p
      WHERE p.pronamespace = 'tidemark'::regnamespace AND (p.proacl IS NULL
        OR EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee = 0))
      """
    ).map { try $0.decode(String.self) }
    #expect(open == [])
    #expect(
      try await database.number("SELECT count(*) FROM pg_proc WHERE proname IN ('copy_1', 'capture_1')")
        == 2
    )
  }
}
