import Logging
import PostgresClient
import Synchronization
import Tidemark

/// A lease store in PostgreSQL: the tables of the schema `tidemark`, which ``Migrator`` creates.
///
/// Each registered worker has a session of its own, which the server ends when the process dies; everything
/// else goes through a pool.
public final class PostgresLeaseStore: LeaseStore {
  let configuration: PostgresConfiguration
  let pool: PostgresPool
  let logger: Logger
  let transfers = TransferQueue()
  private let sessions = Mutex<[WorkerIncarnation: WorkerSession]>([:])

  /// - Parameters:
  ///   - configuration: how workers' own sessions are opened. They need a direct connection; behind a pooler
  ///     deaths are noticed by their heartbeats only.
  ///   - pool: for all other statements.
  public init(_ configuration: PostgresConfiguration, pool: PostgresPool, logger: Logger) {
    self.configuration = configuration
    self.pool = pool
    self.logger = logger
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
    await sessions.withLock { $0.removeValue(forKey: incarnation) }?.end()
  }

  public func hints(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<Void> {
    guard let session = session(of: incarnation) else { return AsyncStream { $0.finish() } }
    let listener = HintListener(session)
    return AsyncStream { await listener.next() }
  }
}
