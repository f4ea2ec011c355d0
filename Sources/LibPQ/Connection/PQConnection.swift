import CLibPQ
import Foundation
import Logging
import Synchronization

/// One session on a PostgreSQL server.
///
/// Callers are served first come, first served. A connection that is not used any more closes its socket by
/// itself; ``close()`` does so at once.
///
/// When a task that runs a statement is cancelled, the connection cancels it on the server and waits for its
/// end, so that it is usable afterwards. A server that does not answer within five seconds
/// of that is given up, and the connection with it.
public actor PQConnection: PQQueryable {
  nonisolated let loop: EventLoop
  nonisolated let turns = FairQueue(permits: 1)
  nonisolated let canceller: StatementCanceller
  private nonisolated let hasEnded = Atomic(false)

  let configuration: PQConfiguration
  let handle: ConnectionHandle
  var cache: StatementCache
  var socket = SocketState()
  var replication = ReplicationStatus()
  var listeners: [String: [UInt64: AsyncStream<PQNotification>.Continuation]] = [:]
  var lastListenerID: UInt64 = 0
  /// Changes when an exchange with the server begins or ends, so that a late deadline finds another number.
  var exchangeNumber: UInt64 = 0
  var exchangeTimer: UInt64?
  private let logger: Logger
  /// Whether there is a pooler between, so that the server's session may be another one with each transaction:
  /// session locks, LISTEN, settings and prepared statements would be other clients', or lost.
  ///
  /// A pooler draws the key for cancellation itself, so its process number is not that of the server's process. A
  /// pooler that gives each client a session to itself cannot be told from one that does not.
  public private(set) var isPooled = false
  /// Whether statements by themselves have to say that they are READ COMMITTED: the database has another default, and
  /// a pooler's session keeps no setting.
  private(set) var needsIsolation = false
  /// Why the connection cannot be used any more.
  private(set) var failure: PQError?

  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  /// Connects to the first host that answers and fits `target_session_attrs`.
  ///
  /// - Throws: ``PQError``: ``PQError/Code/connectionFailed`` with the server's or libpq's reason.
  public static func connect(
    _ configuration: PQConfiguration,
    logger: Logger
  ) async throws -> PQConnection {
    let loop = EventLoop.shared
    let handle = try await Handshake.connect(configuration, loop: loop)
    let connection = try PQConnection(handle, configuration, loop, logger)
    try await connection.start()
    return connection
  }

  private init(
    _ handle: ConnectionHandle,
    _ configuration: PQConfiguration,
    _ loop: EventLoop,
    _ logger: Logger
  ) throws {
    self.loop = loop
    self.handle = handle
    self.configuration = configuration
    self.logger = logger
    cache = StatementCache(limit: configuration.preparedStatementLimit)
    canceller = StatementCanceller(try handle.get(), loop: loop)
  }

  deinit {
    for listener in listeners.values.flatMap(\.values) { listener.finish() }
  }

  private func start() async throws {
    let connection = try handle.get()
    PQsetnonblocking(connection, 1)
    let watch = SocketWatch(descriptor: PQsocket(connection)) { [weak self] in
      self?.assumeIsolated { $0.socketIsReady() }
    }
    watch.events = Int16(POLLIN)
    socket.watch = watch
    socket.usesTLS = PQsslInUse(connection) == 1
    handle.startWatching(watch)
    do {
      // A replicating session gets its settings as it connects, and takes no statement like this one.
      if !configuration.isReplicating { try await applySettings() }
    } catch {
      await close()
      throw error
    }
  }

  private func applySettings() async throws {
    let processID: Int32 = PQbackendPID(try handle.get())
    var statement: PQStatement = """
      SELECT pg_backend_pid() = \(processID) AS is_direct,
        current_setting('default_transaction_isolation') = 'read committed' AS is_read_committed
      """
    for (number, (name, value)) in configuration.settings.sorted(by: { $0.key < $1.key }).enumerated() {
      statement.sql +=
        ", CASE WHEN pg_backend_pid() = $1 THEN set_config($\(2 * number + 2), $\(2 * number + 3), false) END"
      statement.bindings.bind(name)
      statement.bindings.bind(value)
    }
    if configuration.settings["synchronous_commit"] == nil {
      statement.sql += """
        , CASE WHEN pg_backend_pid() = $1 AND current_setting('synchronous_commit') IN ('off', 'local')
          THEN set_config('synchronous_commit', 'on', false) END
        """
    }
    // Servers before version 14 do not know it.
    if configuration.settings["idle_session_timeout"] == nil {
      statement.sql += """
        , CASE WHEN pg_backend_pid() = $1 AND current_setting('idle_session_timeout', true) <> '0'
          THEN set_config('idle_session_timeout', '0', false) END
        """
    }
    let rows = try await run([statement], prepares: false)[0]
    isPooled = try !rows[0].decode("is_direct", as: Bool.self)
    needsIsolation = try isPooled && !rows[0].decode("is_read_committed", as: Bool.self)
  }

  public func pipeline(_ statements: [PQStatement]) async throws -> [PQRows] {
    try await takeTurn()
    defer { turns.release() }
    return try await run(statements)
  }

  /// Runs SQL text that may hold several statements, as a migration does; it returns no rows.
  ///
  /// The statements are one transaction, unless they say otherwise themselves.
  public func executeScript(_ sql: String) async throws {
    try await takeTurn()
    defer { turns.release() }
    try await runScript(sql)
  }

  /// Closes the session at once. A statement that runs fails with ``PQError/Code/closed``.
  public func close() async {
    lose(.closed)
    handle.finish()
  }

  /// Whether the connection was lost or closed; it stays so.
  public nonisolated var isClosed: Bool { hasEnded.load(ordering: .acquiring) }

  /// Waits for this caller's turn; `turns.release()` gives it back.
  nonisolated(nonsending) func takeTurn() async throws {
    if Self.connectionsOfTransactions.contains(ObjectIdentifier(self)) {
      throw PQError(
        .misuse,
        "Inside a transaction's body use the transaction: its connection waits for it."
      )
    }
    try await turns.acquire(loop: loop)
  }

  /// The connections whose transactions the current task is inside of; waiting for one of them would never end.
  @TaskLocal static var connectionsOfTransactions: Set<ObjectIdentifier> = []

  /// Whether the session stands outside a transaction, as it should between two users.
  var isIdle: Bool { handle.transactionStatus == PQTRANS_IDLE }

  func checkUsable() throws {
    if let failure { throw failure }
  }

  /// Ends the connection for every caller that waits for the server, for a turn, or for notifications.
  func lose(_ error: PQError) {
    if failure != nil { return }
    failure = error
    hasEnded.store(true, ordering: .releasing)
    if error.code != .closed, error.code != .cancelled {
      logger.warning("PostgreSQL connection lost", metadata: ["error": "\(error)"])
    }
    handle.stopWatching()
    canceller.abandon()
    turns.close(error)
    for listener in listeners.values.flatMap(\.values) { listener.finish() }
    listeners.removeAll()
    socket.resumeWaiter()
  }
}
