import LibPQ
import Logging
import Tidemark

/// A worker's own connection: it holds the lock that says that the worker lives, and hears the hints.
actor WorkerSession {
  nonisolated let incarnation: WorkerIncarnation
  nonisolated let scope: LeaseScope
  /// Where changes of the scope are announced.
  private let channel: String
  private let configuration: PQConfiguration
  private let logger: Logger

  private var connection: PQConnection
  /// Whether the server keeps this session for this connection alone.
  private var isDirect: Bool
  /// Whether this session holds the worker's lock. A session that was lost unnoticed may still hold it.
  private var isLocked: Bool
  private var isReopening = false
  private var hasEnded = false
  /// Those that wait for a session to listen on.
  private var waiting: [Int: AsyncStream<Void>.Continuation] = [:]
  private var lastWaiting = 0

  init(
    _ incarnation: WorkerIncarnation,
    in scope: LeaseScope,
    channel: String,
    connection: PQConnection,
    isDirect: Bool,
    isLocked: Bool,
    configuration: PQConfiguration,
    logger: Logger
  ) {
    self.incarnation = incarnation
    self.scope = scope
    self.channel = channel
    self.connection = connection
    self.isDirect = isDirect
    self.isLocked = isLocked
    self.configuration = configuration
    self.logger = logger
  }

  /// How a worker's session is opened. A planner that is paused in a transaction must not hold it for long.
  static func configuration(_ configuration: PQConfiguration) -> PQConfiguration {
    var configuration = configuration
    configuration.settings["idle_in_transaction_session_timeout"] = "5000"
    return configuration
  }

  /// Runs a statement that needs this session, without opening it again.
  func query(_ statement: PQStatement) async throws -> PQRows {
    try await connection.query(statement)
  }

  // MARK: Heartbeats

  /// Beats, opening the session again if it was lost.
  ///
  /// - Returns: `nil` if the worker is dead.
  func heartbeat(_ beat: Heartbeat) async throws -> HeartbeatReply? {
    if hasEnded { return nil }
    if connection.isClosed { try await reopen() }
    if isDirect, !isLocked { isLocked = try await lock() }
    let statements = [HeartbeatStatements.beat(beat, hasSession: isDirect && isLocked)]
    let rows = try await connection.pipeline(statements + HeartbeatStatements.measurements(beat))[0]
    guard let row = rows.first else { return nil }
    let (version, history, beganAt, workers, streams) = try row.decode(
      (Int64, Int64, Int64, Int64, Int64).self
    )
    return HeartbeatReply(
      assignmentVersion: version,
      liveWorkers: Int(workers),
      history: LeaseHistory(number: history, beganAt: beganAt),
      streamsVersion: streams
    )
  }

  private func reopen() async throws {
    guard !isReopening else {
      throw TidemarkError(.storeUnavailable, "The worker's session is being opened again.")
    }
    isReopening = true
    defer { isReopening = false }
    logger.warning("The worker's session was lost; opening it again", metadata: ["worker": "\(incarnation)"])
    isLocked = false
    connection = try await PQConnection.connect(Self.configuration(configuration), logger: logger)
    isDirect = await !connection.isPooled
    wakeWaiting()
  }

  /// Takes the worker's lock. Somebody who looks may hold it for an instant, so this tries more than once; if
  /// it still fails, the old session has not ended yet, and the next heartbeat tries again.
  private func lock() async throws -> Bool {
    for _ in 1...5 {
      let rows = try await connection.query(
        "SELECT pg_try_advisory_lock(session_key) FROM tidemark_leases.worker WHERE incarnation = \(incarnation.number)"
      )
      // Without a row the worker is dead, which its heartbeat learns.
      guard let row = rows.first else { return false }
      if try row.decode(Bool.self) { return true }
    }
    return false
  }

  // MARK: Hints

  /// Subscribes to the scope's channel, once there is a session that can.
  ///
  /// - Returns: `nil` if the session has ended for good or the task is cancelled.
  func listen() async -> AsyncStream<PQNotification>? {
    while !hasEnded, !Task.isCancelled {
      if isDirect, !connection.isClosed, let heard = try? await connection.listen(to: channel) {
        return heard
      }
      await waitUntilReopened()
    }
    return nil
  }

  private func waitUntilReopened() async {
    // A stream instead of a continuation, because its iteration ends with the task's cancellation.
    let (opened, continuation) = AsyncStream<Void>.makeStream()
    lastWaiting += 1
    let id = lastWaiting
    waiting[id] = continuation
    for await _ in opened {}
    waiting[id] = nil
  }

  private func wakeWaiting() {
    for continuation in waiting.values { continuation.finish() }
  }

  // MARK: End

  func end() async {
    hasEnded = true
    wakeWaiting()
    await connection.close()
  }
}
