import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// Whose code runs with whose rights: what owners of tables, types and schemas define is run by none but a role that
/// already has to trust them.
@Suite("Code of an owner", .sharesMachine)
struct OwnerAttackTests {
  private static let functions = ["owner", "typist", "consumer"]

  /// A table of `owner`, and what notes as which role the code of others is run.
  private func make() async throws -> (StreamDatabase, StreamRoles) {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    for role in Self.functions { try await roles.create(role) }
    let (owner, typist) = (roles.name("owner"), roles.name("typist"))
    try await database.run(
      """
      CREATE TABLE seen (role name, is_superuser text);
      GRANT INSERT ON seen TO PUBLIC;
      CREATE SCHEMA shop AUTHORIZATION \(owner);
      GRANT USAGE, CREATE ON SCHEMA shop TO \(typist);
      GRANT USAGE ON SCHEMA shop TO PUBLIC;
      SET ROLE \(typist);
      CREATE TYPE shop.mood AS ENUM ('good', 'bad');
      CREATE TYPE shop.pair AS (a int, b shop.mood);
      CREATE DOMAIN shop.guarded AS shop.mood;
      RESET ROLE
      """
    )
    return (database, roles)
  }

  private static func cast(of type: String) -> String {
    """
    CREATE OR REPLACE FUNCTION shop.spy(\(type)) RETURNS json LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO public.seen VALUES (current_user, current_setting('is_superuser'));
      RETURN '"x"';
    END $$;
    CREATE CAST (\(type) AS json) WITH FUNCTION shop.spy(\(type))
    """
  }

  private func run(_ sql: String, as role: String, _ roles: StreamRoles) async throws {
    let pool = try roles.pool(role)
    try await pool.withConnection { try await $0.executeScript(sql) }
    await pool.close()
  }

  @Test(
    "of a type that is not the table owner's own keeps the table from having a stream",
    arguments: [
      "shop.mood", "shop.mood[]", "shop.pair", "shop.guarded",
    ]
  )
  func foreignTypes(type: String) async throws {
    let (database, roles) = try await make()
    try await run("CREATE TABLE shop.item (id int PRIMARY KEY, value \(type))", as: "owner", roles)
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.enable(table: "shop.item")
    }
    #expect(error.message.contains("belongs to another role"))
    #expect(try await database.number("SELECT count(*) FROM tidemark.stream") == 0)
    try await roles.drop("owner", "typist", "consumer")
  }

  @Test("as a cast to json, made before or after the stream, runs as that owner")
  func casts() async throws {
    let (database, roles) = try await make()
    try await database.run("ALTER TYPE shop.mood OWNER TO \(roles.name("owner"))")
    try await run("CREATE TABLE shop.item (id int PRIMARY KEY, value shop.mood)", as: "owner", roles)
    try await database.admin.enable(table: "shop.item")
    try await run(Self.cast(of: "shop.mood"), as: "owner", roles)
    // As a superuser, who owns the schema.
    try await database.run(
      "INSERT INTO shop.item VALUES (1, 'good'); UPDATE shop.item SET value = 'bad'; TRUNCATE shop.item"
    )
    try await database.admin.maintain()
    #expect(try await database.number("SELECT count(*) FROM seen") >= 4)
    #expect(
      try await database.number(
        "SELECT count(*) FROM seen WHERE role <> '\(roles.name("owner"))' OR is_superuser = 'on' AND role = 'postgres'"
      ) == 0
    )
    try await roles.drop("owner", "typist", "consumer")
  }

  @Test("is not run by whoever copies rows for a snapshot, whatever the owner makes of the function")
  func copying() async throws {
    let (database, roles) = try await make()
    try await run(
      "CREATE TABLE shop.item (id int PRIMARY KEY); INSERT INTO shop.item VALUES (1)",
      as: "owner",
      roles
    )
    try await database.admin.enable(table: "shop.item", name: "item", shardCount: 1)
    try await run(
      """
      CREATE FUNCTION shop.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO public.seen VALUES (current_user, current_setting('is_superuser'));
        RETURN 'SELECT 1';
      END $$;
      CREATE FUNCTION shop.width_bucket(bigint, bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO public.seen VALUES (current_user, current_setting('is_superuser'));
        RETURN 1;
      END $$;
      ALTER FUNCTION tidemark.copy_1 SECURITY INVOKER SET search_path = shop, pg_catalog;
      ALTER FUNCTION tidemark.capture_1 SECURITY INVOKER SET search_path = shop, pg_catalog;
      ALTER FUNCTION tidemark.truncate_1 SECURITY INVOKER SET search_path = shop, pg_catalog
      """,
      as: "owner",
      roles
    )
    let pool = try StreamDatabase.makePool(database.url, connections: 1)
    try await pool.withConnection {
      try await $0.executeScript(
        """
        BEGIN ISOLATION LEVEL REPEATABLE READ;
        LOCK TABLE tidemark.turn_1 IN SHARE UPDATE EXCLUSIVE MODE;
        SELECT tidemark.begin_making(1, 'a');
        SELECT tidemark.begin_snapshot(1, 'a');
        COMMIT
        """
      )
    }
    let refused = await #expect(throws: PQError.self) {
      try await pool.execute(
        """
        SELECT tidemark.copy_1(n.partition_ordinal, '{0}', '{0}', 0, 'shop.item', 0, 100) FROM tidemark.snapshot AS n
        """
      )
    }
    #expect(refused?.message.contains("does not own that table") == true)
    await pool.close()
    // Nor by a worker that maintains the stream and puts that right.
    try await database.admin.grant(.consumer, to: roles.name("consumer"), stream: "item")
    let worker = try roles.pool("consumer")
    try await PostgresStreamAdmin(worker).maintain()
    try await database.admin.maintain()
    await worker.close()
    #expect(try await database.number("SELECT count(*) FROM seen") == 0)
    try await roles.drop("owner", "typist", "consumer")
  }

  @Test("as an operator, function or type in its schema or in pg_temp is not found by what expires rows")
  func shadows() async throws {
    let (database, roles) = try await make()
    try await database.run(
      """
      CREATE TABLE shop.item (id int PRIMARY KEY, expires_at date);
      ALTER TABLE shop.item OWNER TO \(roles.name("owner"));
      INSERT INTO shop.item VALUES (1, '2020-01-01'), (2, NULL);
      GRANT SELECT, UPDATE, DELETE ON shop.item TO \(roles.name("consumer"))
      """
    )
    try await database.admin.enable(table: "shop.item", name: "item", expiryColumn: "expires_at")
    try await database.admin.grant(.expirer, to: roles.name("consumer"), stream: "item")
    try await run(
      """
      CREATE FUNCTION shop.spy(date) RETURNS boolean LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO public.seen VALUES (current_user, current_setting('is_superuser'));
        RETURN true;
      END $$;
      CREATE DOMAIN shop.date AS pg_catalog.date CHECK (shop.spy(VALUE));
      CREATE FUNCTION shop.spy(date, date) RETURNS boolean LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO public.seen VALUES (current_user, current_setting('is_superuser'));
        RETURN true;
      END $$;
      CREATE OPERATOR shop.<= (LEFTARG = pg_catalog.date, RIGHTARG = pg_catalog.date, PROCEDURE = shop.spy);
      CREATE OPERATOR shop.> (LEFTARG = pg_catalog.date, RIGHTARG = pg_catalog.date, PROCEDURE = shop.spy)
      """,
      as: "typist",
      roles
    )
    try await run(
      "SET search_path = shop, pg_temp, pg_catalog; CREATE TYPE pg_temp.date AS (x int)",
      as: "consumer",
      roles
    )
    let pool = try StreamDatabase.makePool(
      roles.url("consumer"),
      connections: 1,
      settings: ["search_path": "shop, pg_catalog, pg_temp"]
    )
    _ = try await PostgresStreamAdmin(pool).expireRows(of: 1, atMost: 10)
    await pool.close()
    #expect(try await database.number("SELECT count(*) FROM shop.item") == 1)
    #expect(try await database.number("SELECT count(*) FROM seen") == 0)
    try await roles.drop("owner", "typist", "consumer")
  }

  @Test("is not run by migrate in a schema that somebody else has made", arguments: [false, true])
  func squatted(withMigrations: Bool) async throws {
    let url = try await TestServer.shared().makeDatabase()
    let pool = try StreamDatabase.makePool(url, connections: 2)
    let roles = StreamRoles(
      database: StreamDatabase(url: url, pool: pool, admin: PostgresStreamAdmin(pool))
    )
    try await roles.create("squatter")
    for schema in ["tidemark", "tidemark_leases"] {
      try await roles.database.run(
        """
        CREATE SCHEMA \(schema) AUTHORIZATION \(roles.name("squatter"));
        SET ROLE \(roles.name("squatter"));
        CREATE FUNCTION \(schema).note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        \(withMigrations ? """
          CREATE TABLE \(schema).migration (version integer, name text, oldest_program integer, applied_at timestamptz);
          CREATE TRIGGER t BEFORE INSERT ON \(schema).migration FOR EACH ROW EXECUTE FUNCTION \(schema).note();
          """ : "")
        RESET ROLE
        """
      )
      let error = await #expect(throws: TidemarkError.self) {
        try await Migrator(
          pool,
          schema: schema == "tidemark" ? .streams : .leases,
          logger: StreamDatabase.logger
        ).migrate()
      }
      #expect(error?.message.contains("belongs to the role \"\(roles.name("squatter"))\"") == true)
      let made = try await roles.database.number(
        "SELECT count(*) FROM pg_class WHERE relnamespace = '\(schema)'::regnamespace AND relname = 'history'"
      )
      #expect(made == 0)
    }
    try await roles.drop("squatter")
    await pool.close()
  }
}
