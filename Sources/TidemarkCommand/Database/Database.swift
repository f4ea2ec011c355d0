import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// The database that a command works on.
struct Database: Sendable {
  /// What a command needs of the database, and what it does when that is missing or of another version.
  enum Need: Sendable {
    /// The command is refused.
    case schema(TidemarkSchema)
    /// A database without any of Tidemark's schemas gets them; else as `schema`.
    case firstUse(of: TidemarkSchema)
    /// The command sees to it itself.
    case nothing
  }

  let url: String
  let configuration: PQConfiguration
  let pool: PQPool
  let logger: Logger

  var streams: PostgresStreamAdmin { PostgresStreamAdmin(pool, logger: warningLogger) }
  var leases: PostgresLeaseStore { PostgresLeaseStore(configuration, pool: pool, logger: logger) }

  func migrator(of schema: TidemarkSchema) -> Migrator {
    Migrator(pool, schema: schema, logger: warningLogger)
  }

  /// For what somebody at a terminal has to know also where only errors are asked for: what the command waits for, what
  /// is lost.
  private var warningLogger: Logger {
    var logger = logger
    logger.logLevel = min(logger.logLevel, .warning)
    return logger
  }

  /// - Throws: at once if the server cannot be reached, where the pool would try for a while.
  static func open(_ url: String, needing need: Need, logger: Logger) async throws -> Database {
    var configuration = try PQConfiguration(url: url)
    if configuration.applicationName.isEmpty { configuration.applicationName = "tidemark" }
    do {
      let connection = try await PQConnection.connect(configuration, logger: logger)
      await connection.close()
    } catch let error as PQError where error.code == .server {
      // Reached, but no session: for a command that is the same.
      var failure = error
      failure.code = .connectionFailed
      throw failure
    }
    let database = Database(
      url: url,
      configuration: configuration,
      pool: PQPool(configuration, logger: logger),
      logger: logger
    )
    do {
      try await database.prepare(need)
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
      if error.code != .permissionDenied {
        warningLogger.warning("Stream maintenance failed", metadata: ["error": "\(error)"])
      }
      return []
    }
  }

  private func prepare(_ need: Need) async throws {
    switch need {
    case .nothing:
      return
    case .firstUse(let schema):
      // What is there already others use, and its version is not this command's to change.
      if try await hasNoSchema() {
        Terminal.note(
          "setting the database up: the schemas \(Self.schemas.map(\.name).joined(separator: " and "))"
        )
        try await Migrator.migrateAll(pool, logger: logger)
      }
      try await migrator(of: schema).check()
    case .schema(let schema):
      try await migrator(of: schema).check()
    }
  }

  private func hasNoSchema() async throws -> Bool {
    do {
      for schema in Self.schemas where try await migrator(of: schema).currentVersion() > 0 { return false }
      return true
    } catch let error as TidemarkError where error.code == .permissionDenied {
      // There is one that this role may not see.
      return false
    }
  }

  static let schemas: [TidemarkSchema] = [.leases, .streams]

  /// Those that the database has.
  ///
  /// - Throws: if it has none.
  func schemas() async throws -> [TidemarkSchema] {
    var present: [TidemarkSchema] = []
    for schema in Self.schemas where try await migrator(of: schema).currentVersion() > 0 {
      present.append(schema)
    }
    guard !present.isEmpty else {
      throw CommandFailure("The database has no Tidemark schema.", advice: "Run: tidemark migrate")
    }
    return present
  }
}
