import Foundation
import LibPQ
import LocalPostgres
import Logging

/// The PostgreSQL server that all tests of this process share: a private one that ends with the process, or
/// the one that `TIDEMARK_TEST_DATABASE_URL` names (a superuser's URL; the tests' databases stay there).
///
/// Each test takes a database of its own, so tests run in parallel.
package struct TestServer: Sendable {
  private static let started = Task { try await start() }

  private let server: String
  /// The private server ends with this reference.
  private let local: LocalPostgres?

  package static func shared() async throws -> TestServer {
    try await started.value
  }

  /// Creates an empty database.
  ///
  /// - Returns: its libpq URL.
  package func makeDatabase(encoding: String? = nil) async throws -> String {
    let name = "tidemark_test_" + UUID().uuidString.lowercased().replacing("-", with: "")
    if let local {
      try await local.createDatabase(name, encoding: encoding)
    } else {
      let ofItsOwn = encoding.map { " ENCODING '\($0)' LOCALE 'C' TEMPLATE template0" } ?? ""
      let connection = try await PQConnection.connect(
        PQConfiguration(url: server),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      )
      try await connection.executeScript("CREATE DATABASE \(name)\(ofItsOwn)")
      await connection.close()
    }
    return url(database: name)
  }

  /// The libpq URL of a database of this server.
  package func url(database: String) -> String {
    if let local { return local.url(database: database) }
    // `URLComponents` does not take a socket's directory as the host.
    let parts = server.split(separator: "?", maxSplits: 1)
    let address = parts[0].split(separator: "/", maxSplits: 2).prefix(2).joined(separator: "//")
    return "\(address)/\(database)" + (parts.count > 1 ? "?\(parts[1])" : "")
  }

  private static func start() async throws -> TestServer {
    if let url = ProcessInfo.processInfo.environment["TIDEMARK_TEST_DATABASE_URL"], !url.isEmpty {
      return TestServer(server: url, local: nil)
    }
    var configuration = LocalPostgresConfiguration()
    configuration.maxConnections = 300
    // Nothing here outlives the process, so nothing needs to outlive a power cut.
    configuration.settings = [
      "fsync": "off", "full_page_writes": "off",
      // For streams that are captured by decoding: a slot and a sender each.
      "wal_level": "logical", "max_replication_slots": "500", "max_wal_senders": "500",
    ]
    let local = try await LocalPostgres.start(configuration)
    return TestServer(server: local.url(), local: local)
  }
}
