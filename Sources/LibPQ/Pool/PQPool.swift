import Logging
import Synchronization
import Waiting

/// A bounded number of connections that are made on demand and shared.
///
/// Callers are served first come, first served. A connection that broke is dropped when it comes back; one that
/// was idle for long is tried before it is given out. While the server cannot be reached callers wait, and
/// connecting is tried again with growing pauses, for at most `acquireTimeout`.
public final class PQPool: PQQueryable, Sendable {
  private struct Idle: Sendable {
    var connection: PQConnection
    var since: ContinuousClock.Instant
  }

  private struct State {
    /// The one used last is given out first, so that spare ones stay idle.
    var idle: [Idle] = []
    var isClosed = false
  }

  /// After this a router may have forgotten an idle connection.
  private static let trustedIdleTime = Duration.seconds(30)

  let configuration: PQConfiguration
  private let acquireTimeout: Duration
  let logger: Logger
  let permits: FairQueue
  private let state = Mutex(State())

  /// - Parameters:
  ///   - maximumConnections: How many sessions the pool opens at most; at least 1.
  ///   - acquireTimeout: How long a caller waits for a connection, be it for a free one or for a reachable server.
  public init(
    _ configuration: PQConfiguration,
    maximumConnections: Int = 8,
    acquireTimeout: Duration = .seconds(10),
    logger: Logger
  ) {
    self.configuration = configuration
    self.acquireTimeout = acquireTimeout
    self.logger = logger
    permits = FairQueue(permits: max(1, maximumConnections))
  }

  public nonisolated(nonsending) func pipeline(_ statements: [PQStatement]) async throws
    -> [PQRows]
  {
    try await withConnection { try await $0.pipeline(statements) }
  }

  /// Lends a connection for the time of `body`.
  ///
  /// - Throws: What `body` threw; ``PQError/Code/timeout`` when none became free in time; or why none
  ///   could be made.
  @discardableResult
  public nonisolated(nonsending) func withConnection<R>(
    _ body: (PQConnection) async throws -> R
  ) async throws -> R {
    let deadline = ContinuousClock.now + acquireTimeout
    try await permits.acquire(until: deadline)
    defer { permits.release() }
    let connection = try await takeIdleOrConnect(until: deadline)
    do {
      let result = try await body(connection)
      await giveBack(connection)
      return result
    } catch {
      await giveBack(connection)
      throw error
    }
  }

  /// See ``PQConnection/transaction(isolation:readOnly:_:)``.
  @discardableResult
  public nonisolated(nonsending) func transaction<R>(
    isolation: PQIsolation = .readCommitted,
    readOnly: Bool = false,
    _ body: (PQTransaction) async throws -> R
  ) async throws -> R {
    try await withConnection { connection in
      try await connection.transaction(isolation: isolation, readOnly: readOnly, body)
    }
  }

  /// Closes the idle connections now and the others when they are given back. Callers that wait get an error.
  public func close() async {
    permits.close(.poolClosed)
    let idle = state.withLock { state in
      state.isClosed = true
      defer { state.idle.removeAll() }
      return state.idle
    }
    for idle in idle { await idle.connection.close() }
  }

  private nonisolated(nonsending) func takeIdleOrConnect(
    until deadline: ContinuousClock.Instant
  ) async throws -> PQConnection {
    if let connection = try await takeIdle() { return connection }
    return try await connect(until: deadline)
  }

  private nonisolated(nonsending) func takeIdle() async throws -> PQConnection? {
    while let idle = state.withLock({ $0.idle.popLast() }) {
      if idle.connection.isClosed { continue }
      if ContinuousClock.now - idle.since < Self.trustedIdleTime { return idle.connection }
      do {
        try await idle.connection.execute("SELECT 1")
        return idle.connection
      } catch {
        await idle.connection.close()
        if Task.isCancelled { throw error }
      }
    }
    return nil
  }

  private nonisolated(nonsending) func connect(
    until deadline: ContinuousClock.Instant
  ) async throws -> PQConnection {
    var backoff = DoublingDelay(from: .milliseconds(50), to: .seconds(2), jitter: 0.5)
    var random = SystemRandomNumberGenerator()
    while true {
      var configuration = configuration
      let remaining = ContinuousClock.now.duration(to: deadline)
      configuration.connectTimeout = min(configuration.connectTimeout, max(remaining, .milliseconds(1)))
      do {
        return try await PQConnection.connect(configuration, logger: logger)
      } catch let error as PQError where error.isRetryable {
        let pause = backoff.next(using: &random)
        if ContinuousClock.now + pause >= deadline || state.withLock(\.isClosed) { throw error }
        logger.debug("Cannot reach PostgreSQL; trying again", metadata: ["error": "\(error)"])
        try await EventLoop.shared.sleep(for: pause)
      }
    }
  }

  private nonisolated(nonsending) func giveBack(_ connection: PQConnection) async {
    if connection.isClosed { return }
    let isIdle = await connection.isIdle
    let isKept = state.withLock { state in
      if state.isClosed || !isIdle { return false }
      state.idle.append(Idle(connection: connection, since: .now))
      return true
    }
    if !isKept { await connection.close() }
  }
}

extension PQError {
  fileprivate static let poolClosed = PQError(.closed, "The pool is closed.")
}
