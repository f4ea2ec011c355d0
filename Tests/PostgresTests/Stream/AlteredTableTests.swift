import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// Tables that somebody changes while they are captured by trigger, and what else in their database is unlike the usual.
@Suite("A captured table in somebody else's hands", .sharesMachine)
struct AlteredTableTests {
  /// A session that has plans for the writes of a table.
  private func session(_ database: StreamDatabase) async throws -> PQConnection {
    try await PQConnection.connect(
      PQConfiguration(url: database.url),
      logger: StreamDatabase.logger
    )
  }

  /// What turns a table `item (id int PRIMARY KEY, v text)` into one whose key has another type.
  private static let keyChanges = [
    "ALTER TABLE item ALTER COLUMN id TYPE bigint",
    "ALTER TABLE item ALTER COLUMN id TYPE text",
    "ALTER TABLE item ALTER COLUMN id TYPE numeric(10)",
    // As a growing table is migrated, without a long lock.
    """
    ALTER TABLE item ADD COLUMN id_new bigint;
    UPDATE item SET id_new = id;
    ALTER TABLE item DROP CONSTRAINT item_pkey;
    ALTER TABLE item RENAME id TO id_old;
    ALTER TABLE item RENAME id_new TO id;
    ALTER TABLE item ALTER id_old DROP NOT NULL, ALTER id SET NOT NULL, ADD PRIMARY KEY (id);
    """,
  ]

  @Test("Open sessions go on writing when the key gets another type", arguments: keyChanges.indices)
  func keyType(change: Int) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, v text)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
    let open = try await session(database)
    try await open.executeScript(
      "INSERT INTO item VALUES (1, 'a'), (2, 'a'); UPDATE item SET v = 'b'; DELETE FROM item WHERE id = 2"
    )
    try await database.run(Self.keyChanges[change])
    try await open.executeScript(
      """
      INSERT INTO item (id, v) VALUES (3, 'c'), (4, 'c');
      UPDATE item SET v = 'd';
      UPDATE item SET id = 5 WHERE id::text = '4';
      DELETE FROM item;
      INSERT INTO item (id, v) VALUES (6, 'e');
      TRUNCATE item
      """
    )
    await open.close()
    let records = try await database.stream("item").readAll()
    let last = records.filter { record in
      [3, 4, 5, 6].contains { record.partitionKey.contains("\($0)") }
    }.map { "\($0.change?.eventName.rawValue ?? "") \($0.partitionKey.filter(\.isNumber))" }
    #expect(
      last == [
        "INSERT 3", "INSERT 4", "MODIFY 3", "MODIFY 4", "REMOVE 4", "INSERT 5", "REMOVE 3", "REMOVE 5",
        "INSERT 6", "REMOVE 6",
      ]
    )
  }

  @Test("Open sessions go on writing when the key of a partitioned table gets another type")
  func keyTypeOfPartitions() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (id varchar(5) PRIMARY KEY, v text) PARTITION BY LIST (id);
      CREATE TABLE item_a PARTITION OF item DEFAULT
      """
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
    // The key that partitions cannot get another type; a column of the key beside it can.
    try await database.run("ALTER TABLE item ADD COLUMN n int NOT NULL DEFAULT 0")
    let open = try await session(database)
    try await open.executeScript("INSERT INTO item VALUES ('1', 'a')")
    try await database.run("ALTER TABLE item ALTER COLUMN n TYPE bigint, ALTER COLUMN v TYPE varchar")
    try await open.executeScript("INSERT INTO item VALUES ('2', 'a'); UPDATE item SET n = n + 1")
    await open.close()
    #expect(try await database.stream("item").readAll().count == 4)
  }

  // MARK: Row-level security

  /// A database whose schema and table belong to a role that is no superuser, and that sees rows of one tenant only.
  private func withTenants(
    expiry: Bool = false,
    _ body: (StreamDatabase, PQPool, StreamRoles) async throws -> Void
  ) async throws {
    let url = try await TestServer.shared().makeDatabase()
    let superuser = StreamDatabase(
      url: url,
      pool: try StreamDatabase.makePool(url, connections: 2),
      admin: PostgresStreamAdmin(try StreamDatabase.makePool(url, connections: 2))
    )
    let roles = StreamRoles(database: superuser)
    try await roles.create("owner")
    try await superuser.run(
      """
      GRANT CREATE ON SCHEMA public TO \(roles.name("owner"));
      DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO \(roles.name("owner"))', current_database()); END $$
      """
    )
    let database = try await StreamDatabase.make(at: roles.url("owner"))
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY, tenant int, expires_at timestamptz);
      ALTER TABLE item ENABLE ROW LEVEL SECURITY;
      CREATE POLICY own ON item USING (tenant = current_setting('app.tenant', true)::int) WITH CHECK (true)
      """
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
    if expiry { try await database.admin.alter("item") { $0.expiryColumn = "expires_at" } }
    try await database.run("INSERT INTO item SELECT n, n % 2, '2024-01-01' FROM generate_series(1, 10) n")
    try await body(database, superuser.pool, roles)
    await database.pool.close()
    try await roles.drop("owner")
  }

  @Test("TRUNCATE of a table with row-level security removes the rows that its policies hide, too")
  func hiddenRows() async throws {
    try await withTenants { database, _, _ in
      try await database.run("SET app.tenant = 1; TRUNCATE item")
      let events = try await database.stream("item").readAll().compactMap(\.change?.eventName)
      #expect(events.filter { $0 == .insert }.count == 10)
      #expect(events.filter { $0 == .remove }.count == 10)
    }
  }

  @Test("Where the policies bind the owner, too, TRUNCATE is refused with the reason, and no row is gone")
  func forcedPolicies() async throws {
    try await withTenants { database, superuser, _ in
      try await database.run("ALTER TABLE item FORCE ROW LEVEL SECURITY")
      let error = try await #require(throws: PQError.self) {
        try await database.run("SET app.tenant = 1; TRUNCATE item")
      }
      #expect(error.message.contains("row-level security"))
      #expect(try await superuser.query("SELECT count(*) FROM item")[0].decode(Int.self) == 10)
      // Whoever may see all of them may empty it.
      try await superuser.execute("ALTER TABLE item NO FORCE ROW LEVEL SECURITY")
      try await database.run("TRUNCATE item")
      let events = try await database.stream("item").readAll().compactMap(\.change?.eventName)
      #expect(events.filter { $0 == .remove }.count == 10)
    }
  }

  @Test("Rows that policies hide from the owner do not expire in silence")
  func hiddenExpiry() async throws {
    try await withTenants(expiry: true) { database, superuser, _ in
      try await database.run("ALTER TABLE item FORCE ROW LEVEL SECURITY")
      let error = try await #require(throws: PQError.self) {
        _ = try await database.expireRows()
      }
      #expect(error.message.contains("row-level security"))
      try await superuser.execute("ALTER TABLE item NO FORCE ROW LEVEL SECURITY")
    }
  }

  // MARK: Settings of writers

  @Test(
    "How a value is spelled is not left to the writer's settings",
    arguments: [
      ("polygon", "'((0.30000000000000004,0.1))'", "extra_float_digits = 0", "((0.30000000000000004,0.1))"),
      ("path", "'[(0.30000000000000004,0.1)]'", "extra_float_digits = 0", "[(0.30000000000000004,0.1)]"),
      (
        "circle", "'<(0.30000000000000004,0.1),1>'", "extra_float_digits = 0", "<(0.30000000000000004,0.1),1>"
      ),
      ("point", "'(0.30000000000000004,0.1)'", "extra_float_digits = 0", "(0.30000000000000004,0.1)"),
      ("money", "12.5::numeric::money", "lc_monetary = 'C'", "$12.50"),
      ("polygon[]", "ARRAY['((0.30000000000000004,0.1))']::polygon[]", "extra_float_digits = 0", "0000004"),
      ("tstzrange", "'[2024-03-02,2024-03-03)'", "datestyle = 'German'", "2024-03-02"),
    ]
  )
  func settings(type: String, value: String, setting: String, spelled: String) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, v \(type))")
    try await database.admin.enable(table: "item", viewType: .newImage, shardCount: 1)
    try await database.run("SET timezone = 'UTC'; SET \(setting); INSERT INTO item VALUES (1, \(value))")
    let image = try #require(try await database.stream("item").readAll().first?.change?.newImage)
    #expect(image.description.contains(spelled), "\(image)")
    let pinned = try await database.text("SELECT proconfig::text FROM pg_proc WHERE proname = 'capture_1'")
    #expect(type != "money" || pinned?.contains("lc_monetary=C") == true)
  }

  @Test("Nothing rests on MD5, which a server in FIPS mode refuses", arguments: StreamCapture.allCases)
  func noMD5(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", capture: capture)
    let functions = try await database.pool.query(
      """
      SELECT p.proname::text FROM pg_proc p
      WHERE p.pronamespace = 'tidemark'::regnamespace AND pg_get_functiondef(p.oid) ~* 'md5\\('
      """
    ).map { try $0.decode(String.self) }
    #expect(functions == [])
  }

  // MARK: Replica mode

  @Test("TRUNCATE in replica mode removes every row of a table that is captured by decoding")
  func replicaMode() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    try await database.run(
      """
      SET session_replication_role = replica;
      INSERT INTO item VALUES (1), (2);
      TRUNCATE item;
      INSERT INTO item VALUES (3)
      """
    )
    let events = try await database.stream("item").readAll().map(\.summary)
    #expect(
      events == [
        #"INSERT {"id":1}"#, #"INSERT {"id":2}"#, #"REMOVE {"id":1}"#, #"REMOVE {"id":2}"#,
        #"INSERT {"id":3}"#,
      ]
    )
  }
}
