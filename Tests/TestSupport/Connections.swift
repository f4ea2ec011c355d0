import LibPQ
import Logging
import Testing

public let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A configuration for a new, empty database.
public func newDatabase() async throws -> PQConfiguration {
  try await PQConfiguration(url: TestServer.shared().makeDatabase())
}

public func connect(_ configuration: PQConfiguration) async throws -> PQConnection {
  try await PQConnection.connect(configuration, logger: quietLogger)
}

/// Connects to a new, empty database.
public func connectToNewDatabase() async throws -> PQConnection {
  try await connect(newDatabase())
}

extension PQQueryable {
  /// The value of a statement that returns one row with one column.
  public func value<T: PQDecodable>(_ statement: PQStatement, as type: T.Type = T.self) async throws -> T {
    try await #require(query(statement).first).decode(T.self)
  }
}

/// The error that the operation throws, which must be a `PQError`.
public func postgresError(
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
public func waitUntilRunning(_ prefix: String, seenBy observer: some PQQueryable) async throws {
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
public actor Journal<Entry: Sendable> {
  public private(set) var entries: [Entry] = []

  public init() {}

  @discardableResult
  public func note(_ entry: Entry) -> Int {
    entries.append(entry)
    return entries.count
  }
}
