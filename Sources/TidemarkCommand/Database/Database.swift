import Logging
import PostgresClient
import Tidemark
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

  var streams: PostgresStreamAdmin { PostgresStreamAdmin(pool, logger: warningLogger) }
  var leases: PostgresLeaseStore { PostgresLeaseStore(configuration, pool: pool, logger: logger) }
  var migrator: Migrator { Migrator(pool, logger: logger) }

  /// For what somebody at a terminal has to know also where only errors are asked for: what is waited for, what is lost.
  private var warningLogger: Logger {
    var logger = logger
    logger.logLevel = min(logger.logLevel, .warning)
    return logger
  }

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

  /// Ends streams whose slots keep too much of the server's log, and removes what a death has left: no worker may run that
  /// does. It is not what the command is for, so it goes on whatever becomes of this.
  ///
  /// - Returns: the streams that have ended, each with the reason.
  @discardableResult
  func lookAfterCaptures() async throws -> [PostgresStreamCondition] {
    do {
      return try await streams.maintainCaptures()
    } catch let error as TidemarkError {
      // A role that may not is no trouble: others may.
      if (error.underlying as? PostgresError)?.sqlState != "42501" {
        warningLogger.warning("Streams could not be looked after", metadata: ["error": "\(error)"])
      }
      return []
    }
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
