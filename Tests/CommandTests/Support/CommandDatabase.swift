import LibPQ
import Logging
import TestSupport
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// A database of a test's own, and the program that uses it.
struct CommandDatabase: Sendable {
  let url: String
  let pool: PQPool
  let tidemark: CommandLineTool
  private let configuration: PQConfiguration

  static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  /// - Parameter migrated: whether it has the schema.
  static func make(migrated: Bool = true, encoding: String? = nil) async throws -> CommandDatabase {
    try await make(at: try await TestServer.shared().makeDatabase(encoding: encoding), migrated: migrated)
  }

  /// In a database that is there and empty.
  static func make(at url: String, migrated: Bool = true) async throws -> CommandDatabase {
    let configuration = try PQConfiguration(url: url)
    let pool = PQPool(configuration, maximumConnections: 2, logger: logger)
    if migrated { try await Migrator.migrateAll(pool, logger: logger) }
    return CommandDatabase(
      url: url,
      pool: pool,
      tidemark: CommandLineTool(databaseURL: url),
      configuration: configuration
    )
  }

  var store: PostgresLeaseStore { PostgresLeaseStore(configuration, pool: pool, logger: Self.logger) }

  func run(_ sql: String) async throws {
    try await pool.withConnection { try await $0.executeScript(sql) }
  }

  func describe(_ stream: String) async throws -> PostgresStreamDescription {
    try await PostgresStreamAdmin(pool).describe(stream)
  }
}
