import ArgumentParser
import Foundation
import LibPQ
import Logging
import TidemarkStreams

/// Which database a command works on, and what is logged meanwhile.
struct DatabaseOptions: ParsableArguments {
  @Option(
    name: .customLong("database-url"),
    help: ArgumentHelp(
      "The database, as postgresql://USER@HOST:PORT/DATABASE. Default: TIDEMARK_DATABASE_URL; without it, a "
        + "private PostgreSQL of this user. Others can read a command's arguments: give a password in the variable, or "
        + "in ~/.pgpass.",
      valueName: "url"
    )
  )
  var url: String?

  @Option(help: ArgumentHelp("The least severe messages to write to standard error.", valueName: "level"))
  var logLevel = Logger.Level.error

  /// Opens the database, runs `body`, and closes what was opened. A signal cancels `body`.
  func use<Success: Sendable>(
    _ need: Database.Need,
    _ body: @escaping @Sendable (Database) async throws -> Success
  ) async throws -> Success {
    let logger = logger
    let environment = ProcessInfo.processInfo.environment
    let chosen = [url, environment["TIDEMARK_DATABASE_URL"]].lazy.compactMap(\.self).first { !$0.isEmpty }
    return try await endingOnSignals {
      if let chosen { return try await Self.use(chosen, need, logger, body) }
      return try await PrivateServer().use(logger: logger) { url in
        try await Self.use(url, need, logger, body)
      }
    }
  }

  /// Like ``use(_:_:)``, for commands about streams: those that must not go on as they are end first.
  func useStreams<Success: Sendable>(
    _ need: Database.Need = .schema(.streams),
    _ body: @escaping @Sendable (Database) async throws -> Success
  ) async throws -> Success {
    try await use(need) { database in
      try await database.lookAfterCaptures()
      return try await body(database)
    }
  }

  var logger: Logger {
    var logger = Logger(label: "tidemark") { StreamLogHandler(label: $0, stream: TerminalLog()) }
    logger.logLevel = logLevel
    return logger
  }

  private static func use<Success>(
    _ url: String,
    _ need: Database.Need,
    _ logger: Logger,
    _ body: (Database) async throws -> Success
  ) async throws -> Success {
    let database = try await Database.open(url, needing: need, logger: logger)
    do {
      let success = try await body(database)
      await database.pool.close()
      return success
    } catch {
      await database.pool.close()
      throw error
    }
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
