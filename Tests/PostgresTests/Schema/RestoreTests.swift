import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import LocalPostgres
@testable import TidemarkStreams

@Suite("A copy of a database", .sharesMachine)
struct RestoreTests {
  enum Copy: CaseIterable {
    case otherName, template, dataAfterSchema, otherCluster
  }

  /// Streams of all kinds, one of which expires rows, a snapshot that was not finished, and a lease that is owned.
  private func makeSource() async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE sessions (id int PRIMARY KEY, ends timestamptz);
      CREATE TABLE items (id int PRIMARY KEY, name text);
      CREATE TABLE decoded (id int PRIMARY KEY)
      """
    )
    try await database.admin.enable(table: "sessions", expiryColumn: "ends")
    try await database.admin.enable(table: "items")
    try await database.admin.enable(table: "decoded", capture: .logical)
    try await database.run(
      """
      INSERT INTO sessions VALUES (1, 'infinity');
      INSERT INTO items SELECT g, 'before' FROM generate_series(1, 50) AS g;
      """
    )
    try await database.run(
      "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT tidemark.begin_snapshot(2, 'half'); COMMIT"
    )
    try await database.run(
      """
      INSERT INTO items SELECT g, 'in the inbox' FROM generate_series(51, 60) AS g;
      INSERT INTO tidemark.expiry_run VALUES (2, '1');
      INSERT INTO tidemark_leases.lease_scope (application) VALUES ('a');
      INSERT INTO tidemark_leases.worker (application, worker_id, host, process_id, failover_interval,
          has_session, server_started_at, registered_at, heartbeat_at, heartbeating_since, session_role)
        VALUES ('a', 'w', 'h', 1, '1 hour', true, pg_postmaster_start_time(), now(), now(), now(), 10);
      INSERT INTO tidemark_leases.worker_stream VALUES ('a', 1, 's');
      INSERT INTO tidemark_leases.lease (application, stream, shard_id, parent_shard_ids, owner, epoch, checkpoint)
        VALUES ('a', 's', 'x', '{}', 1, 7, 'TRIM_HORIZON')
      """
    )
    return database
  }

  private func run(_ tool: String, _ arguments: String...) async throws {
    let directory = try await PostgresInstallation.find().binaryDirectory
    let outcome = try await ChildProcess.run(["\(directory)/\(tool)"] + arguments)
    try #require(outcome.status == 0, "\(tool): \(outcome.output)")
  }

  private func load(_ part: String..., from source: String, to target: String) async throws {
    let file = URL(filePath: NSTemporaryDirectory()).appending(path: "\(UUID().uuidString).sql").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    let options = ["-d", source, "-f", file, "--no-owner", "--no-privileges"] + part
    let directory = try await PostgresInstallation.find().binaryDirectory
    let dump = try await ChildProcess.run(["\(directory)/pg_dump"] + options)
    try #require(dump.status == 0, "\(dump.output)")
    try await run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", target, "-f", file)
  }

  /// Makes a table that has the number which another has elsewhere.
  private func makeTable(_ definition: String, numbered number: Int64, in database: String) async throws {
    let pool = try StreamDatabase.makePool(database, connections: 1)
    try await pool.withConnection {
      try await $0.executeScript(
        """
        DO $$ BEGIN WHILE lo_create(0)::bigint < \(number - 1) LOOP END LOOP; END $$;
        \(definition)
        """
      )
    }
    await pool.close()
  }

  private func afterRestore(_ database: StreamDatabase) async throws -> [DatabaseProblem] {
    var problems: [DatabaseProblem] = []
    for schema in [TidemarkSchema.leases, .streams] {
      problems += try await Migrator(database.pool, schema: schema, logger: StreamDatabase.logger)
        .afterRestore()
    }
    return problems
  }

  private func numbers(in database: StreamDatabase) async throws -> [Int64] {
    try await database.pool.query("SELECT sequence_number FROM tidemark.log_2").map {
      try $0.decode(Int64.self)
    }
  }

  private func open(_ url: String) throws -> StreamDatabase {
    let pool = try StreamDatabase.makePool(url, connections: 6)
    return StreamDatabase(url: url, pool: pool, admin: PostgresStreamAdmin(pool))
  }

  @Test(
    "It goes on after 'restore', gives out no number again, and touches nothing else",
    arguments: Copy.allCases
  )
  func goesOn(copy: Copy) async throws {
    var source = try await makeSource()
    let cluster = copy == .otherCluster ? try await LocalPostgres.start(LocalPostgresConfiguration()) : nil
    let url: String
    switch copy {
    case .otherName:
      url = try await TestServer.shared().makeDatabase()
      try await load(from: source.url, to: url)
    case .template:
      await source.pool.close()
      let name = "tidemark_copy_" + UUID().uuidString.lowercased().replacing("-", with: "")
      let origin = try #require(URL(string: source.url)?.lastPathComponent)
      let postgres = try await TestServer.shared().url(database: "postgres")
      let server = try StreamDatabase.makePool(postgres, connections: 1)
      try await server.withConnection {
        try await $0.executeScript("CREATE DATABASE \(name) TEMPLATE \(origin)")
      }
      await server.close()
      url = try await TestServer.shared().url(database: name)
      source = try open(source.url)
    case .dataAfterSchema:
      url = try await TestServer.shared().makeDatabase()
      try await load("--schema-only", from: source.url, to: url)
      try await load("--data-only", "--disable-triggers", from: source.url, to: url)
    case .otherCluster:
      try await cluster?.createDatabase("copy")
      url = try #require(cluster).url(database: "copy")
      let number = try await source.number("SELECT 'sessions'::regclass::oid::bigint")
      try await makeTable(
        "CREATE TABLE coupons (id int PRIMARY KEY, ends timestamptz); INSERT INTO coupons VALUES (1, 'epoch')",
        numbered: number,
        in: url
      )
      try await load(from: source.url, to: url)
      let target = try open(url)
      #expect(try await target.number("SELECT 'coupons'::regclass::oid::bigint") == number)
      await target.pool.close()
    }
    // The source goes on, too.
    try await source.run("INSERT INTO items SELECT g, 'elsewhere' FROM generate_series(101, 150) AS g")
    _ = try await source.stream("items").readAll()
    let elsewhere = try await numbers(in: source)

    let target = try open(url)
    let before = Set(try await numbers(in: target))
    let problems = try await afterRestore(target)
    #expect(problems.map(\.subject).contains { $0.hasPrefix("stream decoded/") }, "\(problems)")
    #expect(problems.contains { $0.problem.contains("no replication slot") }, "\(problems)")
    #expect(problems.contains { $0.problem.contains("\"half\"") }, "\(problems)")
    #expect(problems.count == 2, "\(problems)")

    try await target.run(
      """
      INSERT INTO items SELECT g, 'here' FROM generate_series(101, 150) AS g;
      INSERT INTO sessions VALUES (2, now() - interval '1 minute');
      """
    )
    #expect(try await target.expireRows() == 1)
    #expect(try await target.text("SELECT string_agg(id::text, ',') FROM sessions") == "1")
    if copy == .otherCluster { #expect(try await target.number("SELECT count(*) FROM coupons") == 1) }
    #expect(try await target.stream("sessions").readAll().contains { $0.change?.userIdentity != nil })
    try await target.admin.disable("items")
    let records = try await target.stream("items").readAll(untilEnd: true)
    #expect(records.count == 110)
    #expect(Set(records.map(\.sequenceNumber)).count == 110)
    let after = try await numbers(in: target)
    #expect(after.count { !before.contains($0) } == 60)
    #expect(Set(elsewhere).intersection(after) == before)

    let ended = try await target.admin.describe("decoded")
    #expect(ended.status == .disabled)
    #expect(ended.captureFailure?.contains("no replication slot") == true)
    #expect(try await target.number("SELECT count(*) FROM pg_class WHERE relreplident = 'f'") == 0)
    #expect(try await source.admin.describe("decoded").status == .enabled)
    #expect(try await source.number("SELECT count(*) FROM tidemark.expiry_run") == 1)
    #expect(try await target.number("SELECT count(*) FROM tidemark.expiry_run") == 0)

    #expect(try await target.number("SELECT count(*) FROM tidemark_leases.worker") == 0)
    #expect(try await target.number("SELECT count(*) FROM tidemark_leases.lease WHERE owner IS NULL") == 1)
    #expect(try await target.number("SELECT epoch FROM tidemark_leases.lease") > 1 << 32)

    #expect(try await afterRestore(target).isEmpty)
    #expect(try await target.admin.dropAll().isEmpty)
    #expect(try await target.number("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '!tidemark%'") == 0)
    await target.pool.close()
    _ = try await source.admin.dropAll()
    await cluster?.stop()
  }

  @Test("A copy without rows says that it has none, and what to do")
  func schemaOnly() async throws {
    let source = try await makeSource()
    let url = try await TestServer.shared().makeDatabase()
    try await load("--schema-only", from: source.url, to: url)
    let problems = try await afterRestore(open(url))
    #expect(problems.map(\.subject) == ["schema tidemark_leases", "schema tidemark"])
    #expect(problems.allSatisfy { $0.remedy.contains("CASCADE") })
    _ = try await source.admin.dropAll()
  }

  @Test("A stream whose table is not in the copy ends, and leaves alone what has the table's number there")
  func strangeTable() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)")
    try await database.admin.enable(table: "items")
    try await database.run("UPDATE tidemark.stream SET source_table = 'other'")
    let problems = try await afterRestore(database)
    #expect(problems.map(\.problem).contains { $0.contains("no table public.items") }, "\(problems)")
    #expect(try await database.admin.describe("items").status == .disabled)
    #expect(
      try await database.number("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'other'::regclass") == 0
    )
  }

  @Test("A copy without the rights and roles of the first says which are missing")
  func rights() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      "INSERT INTO tidemark.access VALUES ('consumer', 'tidemark_nobody', DEFAULT, '*', 'orders')"
    )
    let problems = try await afterRestore(database)
    #expect(problems.map(\.problem) == ["there is no such role here"])
    #expect(problems[0].remedy.contains("tidemark grant consumer tidemark_nobody --stream 'orders'"))
  }
}
