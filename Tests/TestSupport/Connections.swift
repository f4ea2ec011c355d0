import LibPQ
import Logging
import Testing

package let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A configuration for a new, empty database.
package func newDatabase() async throws -> PQConfiguration {
  try await PQConfiguration(url: TestServer.shared().makeDatabase())
}

package func connect(_ configuration: PQConfiguration) async throws -> PQConnection {
  try await PQConnection.connect(configuration, logger: quietLogger)
}

/// Connects to a new, empty database.
package func connectToNewDatabase() async throws -> PQConnection {
  try await connect(newDatabase())
}

extension PQQueryable {
  /// The value of a statement that returns one row with one column.
  package func value<T: PQDecodable>(_ statement: PQStatement, as type: T.Type = T.self) async throws -> T {
    try await #require(query(statement).first).decode(T.self)
  }
}

/// The error that the operation throws, which must be a `PQError`.
package func postgresError(
  sourceLocation: SourceLocation = #_sourceLocation,
  _ operation: () async throws -> Void
) async throws -> PQError {
  do {
    try await operation()
  } catch let error as PQError {
    return error
  }
  try #require(Bool(false), "nothing was thrown", sourceLocation: sourceLocation)
  throw CancellationError()
}

/// Waits until a session runs a statement that begins so, as the server sees it.
package func waitUntilRunning(_ prefix: String, seenBy observer: some PQQueryable) async throws {
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
package actor Journal<Entry: Sendable> {
  package private(set) var entries: [Entry] = []

  package init() {}

  @discardableResult
  package func note(_ entry: Entry) -> Int {
    entries.append(entry)
    return entries.count
  }
}
