import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("Expiry of rows", .sharesMachine)
struct StreamExpiryTests {
  /// A table of rows 1 to 10, of which the odd ones are expired.
  private func expiring(_ count: Int = 10) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, expires_at timestamptz)")
    try await database.admin.enable(table: "item", shardCount: 1, expiryColumn: "expires_at")
    try await database.run(
      """
      INSERT INTO item
      SELECT i, now() + CASE i % 2 WHEN 1 THEN interval '-1 s' ELSE '1 h' END FROM generate_series(1, \(count)) i
      """
    )
    return database
  }

  private func ids(_ database: StreamDatabase, _ table: String = "item") async throws -> [Int64] {
    try await database.pool.query(
      PQStatement(stringLiteral: "SELECT id::bigint FROM \(table) ORDER BY id")
    ).map { try $0.decode(Int64.self) }
  }

  /// The `REMOVE` records of a stream in its order, each key with its cause.
  private func removed(_ database: StreamDatabase, stream: String = "item") async throws -> [String] {
    _ = try await database.stream(stream).sequenceCommitted()
    let id = try await database.number("SELECT tidemark.find_stream('\(stream)')")
    return try await database.pool.query(
      PQStatement(
        stringLiteral: """
          SELECT partition_key || coalesce(' ' || cause::text, '') FROM tidemark.log_\(id)
          WHERE event_name = 'REMOVE' ORDER BY sequence_number
          """
      )
    ).map { try $0.decode(String.self) }
  }

  @Test(
    "A row goes when its time has come, in every type that tells one, and never for a value that tells none",
    arguments: [
      (
        "timestamptz", "now() - interval '6 years'", "now() + interval '1 min'",
        ["NULL", "'infinity'", "'-infinity'"]
      ),
      (
        "timestamp", "now() AT TIME ZONE 'UTC' - interval '1 s'",
        "now() AT TIME ZONE 'UTC' + interval '1 min'",
        ["NULL", "'infinity'", "'-infinity'"]
      ),
      (
        "date", "(now() AT TIME ZONE 'UTC')::date", "(now() AT TIME ZONE 'UTC')::date + 1",
        ["NULL", "'infinity'", "'-infinity'"]
      ),
      (
        "integer", "extract(epoch FROM now()) - 1", "extract(epoch FROM now()) + 60",
        ["NULL", "0", "-1", "2147483647", "extract(epoch FROM now() - interval '5 years 1 hour')"]
      ),
      (
        "bigint", "extract(epoch FROM now() - interval '5 years') + 3600", "extract(epoch FROM now()) + 60",
        ["NULL", "0", "9223372036854775807", "-9223372036854775808", "extract(epoch FROM now()) * 1000"]
      ),
      (
        "numeric", "extract(epoch FROM now()) - 0.5", "extract(epoch FROM now()) + 60",
        ["NULL", "0", "'NaN'", "1e300", "-1e300"]
      ),
      ("moment", "now() - interval '1 s'", "now() + interval '1 min'", ["NULL"]),
    ]
  )
  func types(type: String, past: String, future: String, never: [String]) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      "CREATE DOMAIN moment AS timestamptz; CREATE TABLE item (id int PRIMARY KEY, expires \(type))"
    )
    try await database.admin.enable(table: "item", expiryColumn: "expires")
    // A session's time zone says nothing about when a row expires.
    try await database.run("SET timezone = 'Pacific/Kiritimati'; INSERT INTO item VALUES (1, \(past))")
    for (id, value) in zip(2..., [future] + never) {
      try await database.run("INSERT INTO item VALUES (\(id), \(value))")
    }
    try await database.admin.maintain()
    #expect(try await ids(database) == Array(2...Int64(never.count + 2)))
    #expect(try await removed(database) == [#"{"id":1} E"#])
  }

  @Test(
    "Exactly what the job deletes is marked: neither what others delete nor what follows in its transaction"
  )
  func mark() async throws {
    let database = try await expiring(6)
    try await database.run("DELETE FROM item WHERE id = 1")
    try await database.pool.transaction { transaction in
      try await transaction.execute("DELETE FROM item WHERE id = 2")
      let statement = try await transaction.query("SELECT statement FROM tidemark.begin_expiry(1, 1)")[0]
        .decode(String.self)
      try await transaction.execute(PQStatement(stringLiteral: statement))
      try await transaction.execute("SELECT tidemark.end_expiry(1)")
      try await transaction.execute("DELETE FROM item WHERE id = 4")
    }
    try await database.admin.maintain()
    let removed = try await removed(database)
    #expect(removed == ["1", "2", "3 E", "4", "5 E"].map { #"{"id":\#($0.prefix(1))}"# + $0.dropFirst() })
    #expect(try await database.number("SELECT count(*) FROM tidemark.expiry_run") == 0)
    let others = try await database.number(
      "SELECT count(*) FROM tidemark.log_1 WHERE cause IS NOT NULL AND event_name <> 'REMOVE'"
    )
    #expect(others == 0)
  }

  @Test("A row that somebody has locked is left, and stays if it has got another time")
  func locked() async throws {
    let database = try await expiring()
    try await database.pool.transaction { transaction in
      try await transaction.execute("UPDATE item SET expires_at = now() + interval '1 h' WHERE id IN (1, 3)")
      try await database.admin.maintain()
      #expect(try await ids(database) == [1, 2, 3, 4, 6, 8, 10])
    }
    try await database.admin.maintain()
    #expect(try await ids(database) == [1, 2, 3, 4, 6, 8, 10])
  }

  @Test("Many rows go in one call, batch by batch, and two jobs do not get in each other's way")
  func many() async throws {
    let database = try await expiring(4000)
    async let other = database.admin.maintain()
    try await database.admin.maintain()
    _ = try await other
    #expect(try await ids(database).count == 2000)
    #expect(try await removed(database).count { $0.hasSuffix(" E") } == 2000)
  }

  @Test(
    "Rows of a partitioned table expire in all its partitions, and a batch leaves no row of the same place"
  )
  func partitioned() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY, expires_at bigint) PARTITION BY HASH (id);
      CREATE TABLE item_0 PARTITION OF item FOR VALUES WITH (MODULUS 2, REMAINDER 0);
      CREATE TABLE item_1 PARTITION OF item FOR VALUES WITH (MODULUS 2, REMAINDER 1)
      """
    )
    try await database.admin.enable(table: "item", expiryColumn: "expires_at")
    try await database.run(
      "INSERT INTO item SELECT i, CASE WHEN i > 20 THEN extract(epoch FROM now()) - 1 END FROM generate_series(1, 60) i"
    )
    #expect(try await database.expireRows(atMost: 7) == 7)
    try await database.admin.maintain()
    #expect(try await ids(database) == Array(1...20))
    #expect(try await removed(database).allSatisfy { $0.hasSuffix(" E") })
  }

  @Test("Nothing is deleted where the stream is disabled, or its expiry was taken back")
  func ended() async throws {
    let database = try await expiring(4)
    let altered = try await database.admin.alter("item") { $0.expiryColumn = nil }
    #expect(altered.settings.expiryColumn == nil)
    try await database.admin.maintain()
    #expect(try await ids(database).count == 4)
    try await database.admin.alter("item") { $0.expiryColumn = "expires_at" }
    try await database.admin.disable("item")
    try await database.admin.maintain()
    #expect(try await ids(database).count == 4)
    #expect(try await database.expireRows() == 0)
  }

  @Test("Rows of a child table stay, for they are not the stream's")
  func children() async throws {
    let database = try await expiring(2)
    try await database.run(
      "CREATE TABLE child () INHERITS (item); INSERT INTO child VALUES (3, now() - interval '1 s')"
    )
    try await database.admin.maintain()
    #expect(try await ids(database) == [2, 3])
    #expect(try await removed(database) == [#"{"id":1} E"#])
  }

  @Test("No row expires in replica mode, where its removal is not captured by trigger")
  func replicaMode() async throws {
    let database = try await expiring(2)
    let name = try #require(try await database.text("SELECT current_database()::text"))
    try await database.run("ALTER DATABASE \"\(name)\" SET session_replication_role = replica")
    let worker = PostgresStreamAdmin(try StreamDatabase.makePool(database.url, connections: 1))
    try await worker.maintain()
    #expect(try await ids(database) == [1, 2])
    try await database.run("ALTER DATABASE \"\(name)\" RESET session_replication_role")
    try await database.admin.maintain()
    #expect(try await removed(database) == [#"{"id":1} E"#])
  }

  @Test("A column that becomes one of another type tells the same time, whatever the worker's zone is")
  func otherType() async throws {
    let database = try await expiring(0)
    try await database.run(
      """
      SET TimeZone = 'UTC'; ALTER TABLE item ALTER expires_at TYPE timestamp;
      INSERT INTO item SELECT i, now() AT TIME ZONE 'UTC' + interval '1 h' * i FROM generate_series(-1, 1) AS i
      """
    )
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
      let pool = try StreamDatabase.makePool(database.url, connections: 1, settings: ["TimeZone": zone])
      try await PostgresStreamAdmin(pool).maintain()
      #expect(try await ids(database) == [1], "\(zone)")
    }
  }

  @Test("Deletes that a foreign key makes of an expired row are not marked in the other table's stream")
  func cascade() async throws {
    let database = try await expiring(2)
    try await database.run(
      "CREATE TABLE part (id int PRIMARY KEY, item int REFERENCES item ON DELETE CASCADE, expires_at timestamptz)"
    )
    try await database.admin.enable(table: "part", expiryColumn: "expires_at")
    try await database.run("INSERT INTO part VALUES (7, 1), (8, 2)")
    try await database.admin.maintain()
    #expect(try await removed(database) == [#"{"id":1} E"#])
    #expect(try await removed(database, stream: "part") == [#"{"id":7}"#])
  }

  @Test(
    "A column that tells no time is refused, and one that is gone is reported when rows should expire",
    arguments: ["missing", "note", "ctid", "id; DROP TABLE item"]
  )
  func refused(column: String) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, note text, e timestamptz)")
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.enable(table: "item", expiryColumn: column)
    }
    #expect(error.code == .invalidConfiguration)
    #expect(error.message.contains(column) && error.message.contains("bigint"))
    #expect(try await database.admin.list().isEmpty)
    try await database.admin.enable(table: "item", expiryColumn: "e")
    try await database.run("INSERT INTO item VALUES (1, '', now()); ALTER TABLE item RENAME e TO f")
    let gone = try await #require(throws: TidemarkError.self) { try await database.admin.maintain() }
    #expect(gone.message.contains("\"e\"") && gone.advice?.contains("stream alter") == true)
  }

  @Test("Rows are deleted with the rights of the role that does it, and so do their triggers run")
  func expirer() async throws {
    let database = try await expiring(4)
    let roles = StreamRoles(database: database)
    for role in ["owner", "expirer"] { try await roles.create(role) }
    try await database.run(
      """
      CREATE TABLE seen (who text); GRANT ALL ON seen TO PUBLIC;
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO seen VALUES (current_user); RETURN OLD; END $$;
      CREATE TRIGGER note BEFORE DELETE ON item FOR EACH ROW EXECUTE FUNCTION note();
      ALTER TABLE item OWNER TO \(roles.name("owner"))
      """
    )
    // The functions that capture follow the owner.
    try await database.admin.watchConditions()
    try await database.admin.grant(.expirer, to: roles.name("expirer"), stream: "item")
    let pool = try roles.pool("expirer")
    let expirer = PostgresStreamAdmin(pool)
    let lacking = try await expirer.expireRows(of: 1, atMost: 500)
    #expect(lacking.deleted == 0)
    #expect(lacking.problem?.contains("GRANT SELECT, DELETE, UPDATE (expires_at) ON public.item TO") == true)
    let told = try await expirer.maintain()
    #expect(told.map(\.name) == ["expiry"])
    #expect(try await ids(database).count == 4)
    try await database.run("GRANT SELECT, DELETE, UPDATE (expires_at) ON item TO \(roles.name("expirer"))")
    #expect(try await expirer.maintain().isEmpty)
    #expect(try await ids(database) == [2, 4])
    let seen = try await database.pool.query("SELECT who FROM seen").map { try $0.decode(String.self) }
    #expect(seen == [roles.name("expirer"), roles.name("expirer")])
    await pool.close()
    try await roles.drop("owner", "expirer")
  }
}
