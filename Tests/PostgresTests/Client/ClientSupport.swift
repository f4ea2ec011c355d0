import Foundation
import Logging
import PostgresClient
import TestSupport
import Testing

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A configuration for a new, empty database.
func newDatabase() async throws -> PostgresConfiguration {
  try await PostgresConfiguration(url: TestServer.shared().makeDatabase())
}

func connect(_ configuration: PostgresConfiguration) async throws -> PostgresConnection {
  try await PostgresConnection.connect(configuration, logger: quietLogger)
}

/// Connects to a new, empty database.
func connectToNewDatabase() async throws -> PostgresConnection {
  try await connect(newDatabase())
}

extension PostgresQueryable {
  /// The value of a statement that returns one row with one column.
  func value<T: PostgresDecodable>(_ statement: PostgresStatement, as type: T.Type = T.self) async throws -> T
  {
    try await #require(query(statement).first).decode(T.self)
  }
}

/// The error that the operation throws, which must be a `PostgresError`.
func postgresError(
  sourceLocation: SourceLocation = #_sourceLocation,
  _ operation: () async throws -> Void
) async throws -> PostgresError {
  do {
    try await operation()
  } catch let error as PostgresError {
    return error
  }
  try #require(Bool(false), "nothing was thrown", sourceLocation: sourceLocation)
  throw CancellationError()
}

/// Waits until a session runs a statement that begins so, as the server sees it.
func waitUntilRunning(_ prefix: String, seenBy observer: some PostgresQueryable) async throws {
  try await eventually("a session runs \(prefix)") {
    try await observer.value(
      """
      SELECT count(*) FROM pg_stat_activity
      WHERE state = 'active' AND starts_with(query, \(prefix)) AND datname = current_database()
        AND pid <> pg_backend_pid()
      """,
      as: Int.self
    ) > 0
  }
}

/// What several tasks note, in order.
actor Journal<Entry: Sendable> {
  private(set) var entries: [Entry] = []

  @discardableResult
  func note(_ entry: Entry) -> Int {
    entries.append(entry)
    return entries.count
  }
}
