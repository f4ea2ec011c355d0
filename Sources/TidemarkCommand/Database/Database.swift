import Logging
import PostgresClient
import TidemarkPostgres

/// The database that a command works on.
struct Database: Sendable {
  /// Whether a command needs the schema, and what it does when that is missing or old.
  enum Schema: Sendable {
    /// It is refused.
    case required
    /// It is migrated.
    case migrated
    /// The command sees to it itself.
    case any
  }

  let url: String
  let configuration: PostgresConfiguration
  let pool: PostgresPool
  let logger: Logger

  var streams: PostgresStreamAdmin { PostgresStreamAdmin(pool) }
  var leases: PostgresLeaseStore { PostgresLeaseStore(configuration, pool: pool, logger: logger) }
  var migrator: Migrator { Migrator(pool, logger: logger) }

  /// - Throws: at once if the server cannot be reached, where the pool would try for a while.
  static func open(_ url: String, schema: Schema, logger: Logger) async throws -> Database {
    var configuration = try PostgresConfiguration(url: url)
    if configuration.applicationName.isEmpty { configuration.applicationName = "tidemark" }
    do {
      let connection = try await PostgresConnection.connect(configuration, logger: logger)
      await connection.close()
    } catch let error as PostgresError where error.code == .server {
      // Reached, but no session: for a command that is the same.
      var failure = error
      failure.code = .connectionFailed
      throw failure
    }
    let database = Database(
      url: url,
      configuration: configuration,
      pool: PostgresPool(configuration, logger: logger),
      logger: logger
    )
    do {
      try await database.prepare(schema)
    } catch {
      await database.pool.close()
      throw error
    }
    return database
  }

  private func prepare(_ schema: Schema) async throws {
    if schema == .any { return }
    let present = try await migrator.status().last { $0.appliedAt != nil }?.version ?? 0
    let needed = migrator.latestVersion
    if present == needed { return }
    guard present < needed else {
      throw CommandFailure(
        "The database's schema has version \(present); this program knows versions up to \(needed).",
        advice: "Update this program."
      )
    }
    guard schema == .migrated else {
      let problem =
        present == 0
        ? "The database has no Tidemark schema."
        : "The database's schema has version \(present); this program needs version \(needed)."
      throw CommandFailure(problem, advice: "Run: tidemark migrate")
    }
    Terminal.note("migrating the database's schema from version \(present) to \(needed)")
    try await migrator.migrate()
  }
}
