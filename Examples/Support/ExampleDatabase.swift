import Foundation
import LibPQ
import LocalPostgres
import Logging
import ServiceLifecycle
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// The database that an example works on, with a table `orders` whose changes are in the stream `orders`.
///
/// It is the one that `TIDEMARK_DATABASE_URL` names. If that is not set it is a private server that ends with
/// the program, and orders are written to it so that there is something to see.
///
/// A service, so that a `ServiceGroup` closes it after the worker that uses it.
package final class ExampleDatabase: Service {
  package let configuration: PQConfiguration
  package let pool: PQPool
  private let server: LocalPostgres?
  private let hasOrders: Bool

  /// - Parameter tables: SQL that creates what the example needs besides, where it does not exist yet.
  package static func open(creating tables: String = "", logger: Logger) async throws -> ExampleDatabase {
    let database = try await open(hasOrders: true, logger)
    try await database.setUp(tables)
    return database
  }

  /// Without orders: for an example whose stream is elsewhere.
  package static func openForLeases(logger: Logger) async throws -> ExampleDatabase {
    try await open(hasOrders: false, logger)
  }

  private static func open(hasOrders: Bool, _ logger: Logger) async throws -> ExampleDatabase {
    let url = ProcessInfo.processInfo.environment["TIDEMARK_DATABASE_URL"] ?? ""
    let server = url.isEmpty ? try await LocalPostgres.start() : nil
    if let server {
      logger.info("PostgreSQL is started for this example", metadata: ["url": "\(server.url())"])
    }
    let database = try ExampleDatabase(
      url: server?.url() ?? url,
      server: server,
      hasOrders: hasOrders,
      logger: logger
    )
    try await Migrator.migrateAll(database.pool, logger: logger)
    return database
  }

  private init(url: String, server: LocalPostgres?, hasOrders: Bool, logger: Logger) throws {
    self.hasOrders = hasOrders
    self.configuration = try PQConfiguration(url: url)
    self.pool = PQPool(configuration, maximumConnections: 12, logger: logger)
    self.server = server
  }

  private func setUp(_ tables: String) async throws {
    let admin = PostgresStreamAdmin(pool)
    // Of programs that start at once one goes first: two CREATE … IF NOT EXISTS can collide.
    try await pool.transaction { transaction in
      _ = try await transaction.query("SELECT pg_advisory_xact_lock(hashtext('tidemark example'))")
      try await self.pool.withConnection { try await $0.executeScript(Self.ordersTable + tables) }
      if try await !admin.list().contains(where: { $0.name == "orders" && $0.status == .enabled }) {
        try await admin.enable(table: "orders")
      }
    }
  }

  private static let ordersTable = """
    CREATE TABLE IF NOT EXISTS orders (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      customer text NOT NULL,
      cents bigint NOT NULL
    );
    """

  package func run() async throws {
    if server != nil, hasOrders { try await writeOrders() } else { try await gracefulShutdown() }
    await pool.close()
    await server?.stop()
  }
}
