import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

@Suite("The migrator", .sharesMachine)
struct MigratorTests {
  private let pool: PQPool

  init() async throws {
    let configuration = try PQConfiguration(url: await TestServer.shared().makeDatabase())
    pool = PQPool(configuration, logger: LeaseDatabase.logger)
  }

  static let schemas: [TidemarkSchema] = [.leases, .streams]

  private func migrator(of schema: TidemarkSchema, _ pool: PQPool? = nil) -> Migrator {
    Migrator(pool ?? self.pool, schema: schema, logger: LeaseDatabase.logger)
  }

  @Test("numbers its migrations 1, 2, 3, … and names each once", arguments: schemas)
  func numbers(schema: TidemarkSchema) {
    #expect(schema.migrations.map(\.version) == Array(1...schema.migrations.count))
    #expect(Set(schema.migrations.map(\.name)).count == schema.migrations.count)
  }

  @Test(
    "knows every file in Migrations, each with its way back",
    arguments: ["TidemarkPostgres", "TidemarkStreams"]
  )
  func files(module: String) throws {
    let root = URL(filePath: #filePath).appending(path: "../../../../Sources/\(module)/Migrations")
      .standardized
    let schema = module == "TidemarkPostgres" ? TidemarkSchema.leases : .streams
    let files = try FileManager.default.contentsOfDirectory(atPath: root.path).sorted()
    func scripts(_ direction: String, of version: Int) throws -> [String] {
      try files.filter { $0.hasPrefix("v\(version)_") && $0.hasSuffix(".\(direction).sql") }
        .map { try String(contentsOf: root.appending(path: $0), encoding: .utf8) }
    }
    for migration in schema.migrations {
      #expect(migration.up == (try scripts("up", of: migration.version).joined(separator: "\n")))
      #expect(
        migration.down == (try scripts("down", of: migration.version).reversed().joined(separator: "\n"))
      )
    }
    #expect(files.allSatisfy { $0.wholeMatch(of: /v[0-9]+_[0-9]{2}_[a-z_]+\.(up|down)\.sql/) != nil })
  }

  /// The SHA-256 of each released version's scripts.
  ///
  /// Until the first release version 1 is edited in place, and its checksums here with it: a failure says the new ones.
  /// After that lines are only added.
  private static let released: [String: [Int: String]] = [
    "tidemark_leases": [1: "fccd5d454f638a75477fab9ccf5cdf485982ef3c3889874f355755569a66f5d0"],
    "tidemark": [1: "0fe6565fce0db11b2d67d652fc1c5574aba799e3bfe5f1eee9e67e17367dfeae"],
  ]

  @Test("has released versions as they were released", arguments: schemas)
  func frozen(schema: TidemarkSchema) async throws {
    let released = try #require(Self.released[schema.name])
    for migration in schema.migrations {
      let digest = try await pool.query(
        "SELECT encode(sha256(convert_to(\(migration.up), 'UTF8') || '\\x00' || convert_to(\(migration.down), 'UTF8')), 'hex')"
      )
      let checksum = try digest[0].decode(String.self)
      let expected = released[migration.version]
      #expect(
        expected == checksum,
        "Released migrations are not edited: add a version. Version \(migration.version) of \(schema.name) is \(checksum)."
      )
    }
    #expect(released.count == schema.migrations.count)
  }

  @Test("does nothing the second time", arguments: schemas)
  func isIdempotent(schema: TidemarkSchema) async throws {
    let migrator = migrator(of: schema)
    try await migrator.migrate()
    let once = try await migrator.status()
    try await migrator.migrate()
    #expect(try await migrator.status() == once)
    #expect(once.allSatisfy { $0.appliedAt != nil })
    #expect(once.map(\.version) == schema.migrations.map(\.version))
  }

  @Test("is safe when ten workers start at once", arguments: schemas)
  func isSafeTogether(schema: TidemarkSchema) async throws {
    let migrator = migrator(of: schema)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 1...10 { group.addTask { try await migrator.migrate() } }
      try await group.waitForAll()
    }
    #expect(try await migrator.status().count { $0.appliedAt != nil } == schema.migrations.count)
  }

  @Test("is safe when programs that have all seen an empty database start at once")
  func isSafeAfterLooking() async throws {
    let configuration = try PQConfiguration(url: await TestServer.shared().makeDatabase())
    let migrators = (1...10).map { _ in
      // One session each, which remembers what it has not found.
      migrator(
        of: .streams,
        PQPool(configuration, maximumConnections: 1, logger: LeaseDatabase.logger)
      )
    }
    for migrator in migrators { #expect(try await migrator.status().allSatisfy { $0.appliedAt == nil }) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for migrator in migrators { group.addTask { try await migrator.migrate() } }
      try await group.waitForAll()
    }
  }

  @Test("leaves the same catalog after up, down and up, and nothing after down", arguments: schemas)
  func roundTrip(schema: TidemarkSchema) async throws {
    let migrator = migrator(of: schema)
    try await migrator.migrate(to: 0)
    let empty = try await catalog(of: schema)
    for version in 1...migrator.latestVersion {
      try await migrator.migrate(to: version)
      let up = try await catalog(of: schema)
      try await migrator.migrate(to: version - 1)
      try await migrator.migrate(to: version)
      #expect(try await catalog(of: schema) == up, "version \(version)")
    }
    try await migrator.migrate(to: 0)
    #expect(try await catalog(of: schema) == empty)
    #expect(try await migrator.status().allSatisfy { $0.appliedAt == nil })
  }

  @Test("shows what is missing in a database that it was never run on", arguments: schemas)
  func status(schema: TidemarkSchema) async throws {
    let status = try await migrator(of: schema).status()
    #expect(status.map(\.version) == schema.migrations.map(\.version))
    #expect(status.allSatisfy { $0.appliedAt == nil })
  }

  @Test("refuses a database that is newer than the program, and leaves it alone")
  func newer() async throws {
    let migrator = migrator(of: .streams)
    try await migrator.migrate()
    try await pool.execute(
      "INSERT INTO tidemark.migration (version, name, oldest_program) VALUES (9999, 'future', 9999)"
    )
    for version in [nil, 0, 1] {
      let error = await #expect(throws: TidemarkError.self) { try await migrator.migrate(to: version) }
      #expect(error?.code == .schemaMismatch)
      #expect(error?.message == "The schema tidemark is version 9999; this program needs 1.")
      #expect(error?.advice == "Update the program.")
    }
    #expect(try await migrator.status().last?.version == 9999)
  }

  @Test("has nothing to do in a newer database that leaves the program working", arguments: schemas)
  func newerAndFit(schema: TidemarkSchema) async throws {
    try await migrator(of: schema.followed(byUp: "SELECT 1")).migrate()
    let migrator = migrator(of: schema)
    try await migrator.migrate()
    try await migrator.check()
    #expect(try await migrator.currentVersion() == 2)
    let error = await #expect(throws: TidemarkError.self) { try await migrator.migrate(to: 1) }
    #expect(error?.code == .schemaMismatch)
  }

  @Test("refuses a version that does not exist", arguments: [-1, 9999])
  func unknownVersion(_ version: Int) async throws {
    let error = await #expect(throws: TidemarkError.self) {
      try await migrator(of: .streams).migrate(to: version)
    }
    #expect(error?.code == .unsupported)
  }

  @Test("undoes the whole of a migration that fails")
  func failure() async throws {
    let broken = Migration(
      1,
      "broken",
      oldestProgram: 1,
      chapters: [(Array("CREATE TABLE tidemark.half (); SELECT 1 / 0".utf8), [])]
    )
    let migrator = migrator(of: TidemarkSchema("tidemark", oldestVersion: 1, migrations: [broken]))
    await #expect(throws: TidemarkError.self) { try await migrator.migrate() }
    let half = try await pool.query("SELECT to_regclass('tidemark.half') IS NULL")
    #expect(try half[0].decode(Bool.self))
  }

  @Test("needs no right to create anything once the schema is current")
  func restrictedRole() async throws {
    let migrator = migrator(of: .streams)
    try await migrator.migrate()
    try await pool.withConnection { connection in
      try await connection.execute("CREATE ROLE tidemark_test_reader")
      try await connection.execute("GRANT USAGE ON SCHEMA tidemark TO tidemark_test_reader")
      try await connection.execute("GRANT SELECT ON tidemark.migration TO tidemark_test_reader")
      try await connection.execute("SET ROLE tidemark_test_reader")
    }
    let result = await Result { try await migrator.migrate() }
    try await pool.withConnection { connection in
      try await connection.execute("RESET ROLE")
      try await connection.execute("DROP OWNED BY tidemark_test_reader")
      try await connection.execute("DROP ROLE tidemark_test_reader")
    }
    try result.get()
  }

  /// Every table, column, index, constraint and function of the schema, as text.
  private func catalog(of schema: TidemarkSchema) async throws -> [String] {
    try await pool.query(
      """
      SELECT format('%s %s %s %s %s', c.relname, c.relkind, c.relpersistence, c.reloptions,
        pg_get_indexdef(c.oid)) AS item
      FROM pg_class AS c WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = \(schema.name))
      UNION ALL
      SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
      FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = \(schema.name)) AND a.attnum > 0 AND NOT a.attisdropped
      UNION ALL
      SELECT format('%s %s', conname, pg_get_constraintdef(oid))
      FROM pg_constraint WHERE connamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = \(schema.name))
      UNION ALL
      SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = \(schema.name))
      ORDER BY item
      """
    ).map { try $0.decode("item", as: String.self) }
  }
}

extension Result where Failure == any Error {
  fileprivate init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}

/// Its name, and not the text of all migrations.
extension TidemarkSchema: CustomTestStringConvertible {
  public var testDescription: String { name }
}
