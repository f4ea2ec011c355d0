import Foundation
import PostgresClient
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres

@Suite("The migrator", .sharesMachine)
struct MigratorTests {
  private let pool: PostgresPool

  init() async throws {
    let configuration = try PostgresConfiguration(url: await TestServer.shared().makeDatabase())
    pool = PostgresPool(configuration, logger: LeaseDatabase.logger)
  }

  private var migrator: Migrator { Migrator(pool, logger: LeaseDatabase.logger) }

  @Test("numbers its migrations 1, 2, 3, … and names each once")
  func numbers() {
    #expect(Migration.all.map(\.version) == Array(1...Migration.all.count))
    #expect(Set(Migration.all.map(\.name)).count == Migration.all.count)
  }

  @Test("knows every file in Migrations, each with its way back")
  func files() throws {
    let root = URL(filePath: #filePath).appending(path: "../../../../Sources/TidemarkPostgres/Migrations")
      .standardized
    let files = try FileManager.default.contentsOfDirectory(atPath: root.path)
    let expected = Migration.all.flatMap { migration in
      ["up", "down"].map { String(format: "%04d_%@.%@.sql", migration.version, migration.name, $0) }
    }
    #expect(files.sorted() == expected.sorted())
  }

  @Test("does nothing the second time")
  func isIdempotent() async throws {
    try await migrator.migrate()
    let once = try await migrator.status()
    try await migrator.migrate()
    #expect(try await migrator.status() == once)
    #expect(once.allSatisfy { $0.appliedAt != nil })
    #expect(once.map(\.version) == Migration.all.map(\.version))
  }

  @Test("is safe when ten workers start at once")
  func isSafeTogether() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 1...10 { group.addTask { try await migrator.migrate() } }
      try await group.waitForAll()
    }
    #expect(try await migrator.status().count { $0.appliedAt != nil } == Migration.all.count)
  }

  @Test("is safe when programs that have all seen an empty database start at once")
  func isSafeAfterLooking() async throws {
    let configuration = try PostgresConfiguration(url: await TestServer.shared().makeDatabase())
    let migrators = (1...10).map { _ in
      // One session each, which remembers what it has not found.
      Migrator(
        PostgresPool(configuration, maximumConnections: 1, logger: LeaseDatabase.logger),
        logger: LeaseDatabase.logger
      )
    }
    for migrator in migrators { #expect(try await migrator.status().allSatisfy { $0.appliedAt == nil }) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for migrator in migrators { group.addTask { try await migrator.migrate() } }
      try await group.waitForAll()
    }
  }

  @Test("leaves the same catalog after up, down and up, and nothing after down")
  func roundTrip() async throws {
    try await migrator.migrate(to: 0)
    let empty = try await catalog()
    for version in 1...migrator.latestVersion {
      try await migrator.migrate(to: version)
      let up = try await catalog()
      try await migrator.migrate(to: version - 1)
      try await migrator.migrate(to: version)
      #expect(try await catalog() == up, "version \(version)")
    }
    try await migrator.migrate(to: 0)
    #expect(try await catalog() == empty)
    #expect(try await migrator.status().allSatisfy { $0.appliedAt == nil })
  }

  @Test("shows what is missing in a database that it was never run on")
  func status() async throws {
    let status = try await migrator.status()
    #expect(status.map(\.version) == Migration.all.map(\.version))
    #expect(status.allSatisfy { $0.appliedAt == nil })
  }

  @Test("refuses a database that is newer than the program, and leaves it alone")
  func newer() async throws {
    try await migrator.migrate()
    try await pool.execute("INSERT INTO tidemark.migration (version, name) VALUES (9999, 'future')")
    let error = await #expect(throws: TidemarkError.self) { try await migrator.migrate() }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("9999") == true)
    #expect(try await migrator.status().last?.version == 9999)
  }

  @Test("refuses a version that does not exist", arguments: [-1, 9999])
  func unknownVersion(_ version: Int) async throws {
    let error = await #expect(throws: TidemarkError.self) { try await migrator.migrate(to: version) }
    #expect(error?.code == .unsupported)
  }

  @Test("undoes the whole of a migration that fails")
  func failure() async throws {
    let broken = Migration(
      1,
      "broken",
      up: Array("CREATE TABLE tidemark.half (); SELECT 1 / 0".utf8),
      down: []
    )
    let migrator = Migrator(pool, migrations: [broken], logger: LeaseDatabase.logger)
    await #expect(throws: TidemarkError.self) { try await migrator.migrate() }
    let half = try await pool.query("SELECT to_regclass('tidemark.half') IS NULL")
    #expect(try half[0].decode(Bool.self))
  }

  @Test("needs no right to create anything once the schema is current")
  func restrictedRole() async throws {
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
  private func catalog() async throws -> [String] {
    try await pool.query(
      """
      SELECT format('%s %s %s %s %s', c.relname, c.relkind, c.relpersistence, c.reloptions,
        pg_get_indexdef(c.oid)) AS item
      FROM pg_class AS c WHERE c.relnamespace = 'tidemark'::regnamespace
      UNION ALL
      SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
      FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE c.relnamespace = 'tidemark'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
      UNION ALL
      SELECT format('%s %s', conname, pg_get_constraintdef(oid))
      FROM pg_constraint WHERE connamespace = 'tidemark'::regnamespace
      UNION ALL
      SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'tidemark'::regnamespace
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
