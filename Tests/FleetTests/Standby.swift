import LibPQ
import LocalPostgres
import Logging
import TestSupport
import Testing

/// A hot standby.
enum Standby {
  /// - Parameter isSynchronous: whether every commit of the primary waits for it.
  static func start(of primary: LocalPostgres, isSynchronous: Bool) async throws -> LocalPostgres {
    var configuration = LocalPostgresConfiguration()
    configuration.listensOnTCP = true
    configuration.primary = primary
    let standby = try await LocalPostgres.start(configuration)
    if !isSynchronous { return standby }
    let connection = try await connect(to: primary)
    // Not before the copy was made: the standby must not wait for one of its own once it is promoted.
    try await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    try await connection.execute("SELECT pg_reload_conf()")
    try await eventually("the standby follows synchronously") {
      let rows = try await connection.query(
        "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
      )
      return try rows[0].decode(Int64.self) == 1
    }
    await connection.close()
    return standby
  }

  /// Has an asynchronous standby receive nothing any more: what the primary commits from now on is lost with it.
  static func holdBack(_ standby: LocalPostgres) async throws {
    let connection = try await connect(to: standby)
    try await connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
    try await connection.execute("SELECT pg_reload_conf()")
    try await eventually("the standby receives nothing") {
      let rows = try await connection.query("SELECT count(*) FROM pg_stat_wal_receiver")
      return try rows[0].decode(Int64.self) == 0
    }
    await connection.close()
  }

  /// Returns once the server takes writes.
  static func promote(_ standby: LocalPostgres) async throws {
    let connection = try await connect(to: standby)
    let rows = try await connection.query("SELECT pg_promote()")
    try #require(try rows[0].decode(Bool.self), "the promotion took more than a minute")
    await connection.close()
  }

  static func connect(to server: LocalPostgres) async throws -> PQConnection {
    var logger = Logger(label: "tidemark.standby")
    logger.logLevel = .error
    return try await PQConnection.connect(PQConfiguration(url: server.url()), logger: logger)
  }
}
