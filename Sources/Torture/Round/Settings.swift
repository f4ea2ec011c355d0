import Foundation
import LibPQ
import Logging

/// What all rounds of a torture have in common.
struct Settings: Sendable {
  /// This program.
  var executable: String
  /// For the data of all rounds.
  var directory: String

  static let logger: Logger = {
    var logger = Logger(label: "torture")
    logger.logLevel = .critical
    return logger
  }()

  /// For the torture's own statements.
  static func pool(url: String, connections: Int = 8) throws -> PQPool {
    var configuration = try PQConfiguration(url: url)
    configuration.applicationName = "torture"
    return PQPool(
      configuration,
      maximumConnections: connections,
      acquireTimeout: .seconds(60),
      logger: logger
    )
  }
}

/// Polls until `condition` holds.
/// - Returns: whether it did within the limit.
func holds(
  within limit: Duration,
  every interval: Duration = .milliseconds(100),
  _ condition: () async throws -> Bool
) async throws -> Bool {
  let deadline = ContinuousClock.now + limit
  while true {
    // The database may be away just now.
    do { if try await condition() { return true } } catch let error as PQError where error.isRetryable {
    }
    guard ContinuousClock.now < deadline else { return false }
    try await ContinuousClock().sleep(for: interval)
  }
}
