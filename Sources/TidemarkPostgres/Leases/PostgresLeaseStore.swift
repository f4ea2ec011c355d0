import LibPQ
import Logging
import Synchronization
import Tidemark

/// A lease store in PostgreSQL: the tables of the schema `tidemark_leases`, which ``Migrator`` creates.
///
/// Each registered worker has a session of its own, which the server ends when the process dies; everything
/// else goes through a pool.
public final class PostgresLeaseStore: LeaseStore {
  let configuration: PQConfiguration
  let pool: PQPool
  let logger: Logger
  private let clock: any MonotonicClock
  /// The `application_name` of all sessions of this process, if no other process has it.
  let sessionName: String?
  let transfers = TransferQueue()
  let obstacles = Mutex(Obstacles())
  private let sessions = Mutex<[WorkerIncarnation: WorkerSession]>([:])

  /// - Parameters:
  ///   - configuration: how workers' own sessions are opened. They need a direct connection; behind a pooler
  ///     deaths are noticed by their heartbeats only.
  ///   - pool: for all other statements.
  ///   - hasOwnSessions: whether `configuration.applicationName` is this process's alone, and all sessions that have it
  ///     may be ended once its workers are declared dead. See ``PQConfiguration/namingProcess(_:)``.
  ///   - clock: what pauses are measured with before a statement is repeated that other transactions were in the way of.
  public init(
    _ configuration: PQConfiguration,
    pool: PQPool,
    logger: Logger,
    hasOwnSessions: Bool = false,
    clock: any MonotonicClock = ContinuousClock()
  ) {
    self.configuration = configuration
    self.pool = pool
    self.logger = logger
    self.clock = clock
    sessionName = hasOwnSessions ? configuration.applicationName : nil
  }

  // MARK: Errors

  func write<Value>(_ body: () async throws -> Value) async throws -> Value {
    try await writing(.leaseStore, on: pool) { try await retryingConflicts(clock: clock, body) }
  }

  func read<Value>(_ body: () async throws -> Value) async throws -> Value {
    try await reading(.leaseStore, on: pool) { try await retryingConflicts(clock: clock, body) }
  }

  // MARK: Sessions

  /// The session of a worker that was registered with this store and has not ended.
  func session(of incarnation: WorkerIncarnation) -> WorkerSession? {
    sessions.withLock { $0[incarnation] }
  }

  func add(_ session: WorkerSession) {
    sessions.withLock { $0[session.incarnation] = session }
  }

  func endSession(of incarnation: WorkerIncarnation) async {
    obstacles.withLock { $0.listeners.removeValue(forKey: incarnation) }?.finish()
    await sessions.withLock { $0.removeValue(forKey: incarnation) }?.end()
  }

  public func hints(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<Void> {
    guard let session = session(of: incarnation) else { return AsyncStream { $0.finish() } }
    let listener = HintListener(session)
    return AsyncStream { await listener.next() }
  }

  public func blockages(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<
    LeaseBlockage
  > {
    let (stream, continuation) = AsyncStream<LeaseBlockage>.makeStream(bufferingPolicy: .bufferingNewest(100))
    guard session(of: incarnation) != nil else {
      continuation.finish()
      return stream
    }
    obstacles.withLock { $0.listeners[incarnation] = continuation }
    return stream
  }
}
