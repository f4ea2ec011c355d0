import Synchronization
import Tidemark

/// A lease store that lives in memory: the model of the real one, for tests and simulations.
///
/// It passes `LeaseStoreConformance` as the PostgreSQL store does. Stores made with ``init(sharing:)`` are like
/// several processes at one database: they share the tables and each has faults of its own.
public final class InMemoryLeaseStore: LeaseStore {
  public typealias FaultInjector = @Sendable (LeaseStoreCall) -> LeaseStoreFault

  private final class Database: Sendable {
    let clock: any MonotonicClock
    let timeOfDay: any MonotonicClock
    let madeAt: ContinuousClock.Instant
    let table = Mutex(LeaseTable())
    let listeners = Mutex(Listeners())

    init(clock: any MonotonicClock, timeOfDay: any MonotonicClock) {
      self.clock = clock
      self.timeOfDay = timeOfDay
      madeAt = timeOfDay.now
    }

    /// Starts the server on what it has, or on what it had.
    func start(on kept: LeaseTable? = nil) {
      // A million seconds on, as if the first history had lasted for long.
      let now = 1_000_000 + madeAt.duration(to: timeOfDay.now).components.seconds
      table.withLock { table in
        let (start, token) = (table.serverStart + 1, table.lastToken)
        if let kept { table = kept }
        (table.serverStart, table.startedAt, table.lastToken) = (start, now, token)
        table.isHistoryNoted = false
        for incarnation in table.workers.keys { table.workers[incarnation]?.hasSession = false }
        for scope in table.scopes.keys { table.scopes[scope]?.planner = nil }
      }
    }
  }

  private struct Listeners {
    var nextID = 0
    var continuations: [WorkerIncarnation: [Int: AsyncStream<Void>.Continuation]] = [:]
  }

  private let database: Database
  private let injector = Mutex<FaultInjector?>(nil)

  /// An empty store.
  /// - Parameters:
  ///   - clock: the store's own clock; heartbeats and handoffs age by it.
  ///   - timeOfDay: what its histories are numbered by; `nil` for the same clock.
  public init(clock: any MonotonicClock = ContinuousClock(), timeOfDay: (any MonotonicClock)? = nil) {
    database = Database(clock: clock, timeOfDay: timeOfDay ?? clock)
  }

  /// Another process's store on the same tables.
  public init(sharing other: InMemoryLeaseStore) {
    database = other.database
  }

  // MARK: Faults

  /// Asks `injector` before every call of this store what shall become of it; `nil` ends that.
  public func injectFaults(_ injector: FaultInjector?) {
    self.injector.withLock { $0 = injector }
  }

  /// Ends a worker's session, as the server does when the process dies.
  public func killSession(of incarnation: WorkerIncarnation) {
    database.table.withLock { $0.workers[incarnation]?.hasSession = false }
  }

  /// Ends all sessions at once. That is no worker's death.
  public func restartServer() { database.start() }

  /// What the store had at one moment.
  public struct Backup: Sendable {
    fileprivate var table: LeaseTable
  }

  public func backUp() -> Backup { Backup(table: database.table.withLock { $0 }) }

  /// The number of the history that the store is on, as whatever is in the same database sees it.
  public func enterHistory() -> Int64 { database.table.withLock { $0.enterHistory() } }

  /// The version that heartbeats would tell now.
  public func currentAssignmentVersion(in scope: LeaseScope) -> Int64 {
    database.table.withLock { $0.scopes[scope]?.assignmentVersion ?? 0 }
  }

  /// Starts the server without what was written since a backup: as a standby that lags does when it is promoted.
  public func restartServer(on backup: Backup) { database.start(on: backup.table) }

  // MARK: Inspection

  /// All leases as they stand, ordered by stream and shard; no fault touches this.
  public func currentLeases(in scope: LeaseScope) -> [Lease] {
    database.table.withLock { $0.sortedLeases(in: scope) }
  }

  /// All workers as they stand; no fault touches this.
  public func currentWorkers(in scope: LeaseScope) -> [WorkerRecord] {
    let now = database.clock.now
    return database.table.withLock { $0.workerRecords(in: scope, at: now) }
  }

  /// The dead-letter queue of one shard, in order.
  public func deadLetters(of key: LeaseKey, in scope: LeaseScope) -> [DeadLetter] {
    let letters = database.table.withLock { $0.scopes[scope]?.deadLetters ?? [:] }
    return letters.filter { $0.key.lease == key }
      .sorted { $0.key.checkpoint < $1.key.checkpoint }
      .map(\.value)
  }

  // MARK: Calls

  /// Performs a call as its fault has it.
  private func perform<Value: Sendable>(
    _ method: LeaseStoreCall.Method,
    by incarnation: WorkerIncarnation? = nil,
    _ body: (inout LeaseTable, ContinuousClock.Instant) throws -> Value
  ) async throws -> Value {
    let fault = try await begin(method, by: incarnation)
    let value = try change(body)
    try await end(fault)
    return value
  }

  private func begin(
    _ method: LeaseStoreCall.Method,
    by incarnation: WorkerIncarnation?
  ) async throws -> LeaseStoreFault {
    let fault = injector.withLock { $0 }?(LeaseStoreCall(method, by: incarnation)) ?? .none
    try await pause(fault.delayBefore)
    switch fault.outcome {
    case .refused: throw TidemarkError(.storeUnavailable, "The store refused the call.")
    case .requestLost: throw TidemarkError(.outcomeUnknown, "The store did not answer.")
    case .answered, .replyLost: return fault
    }
  }

  private func change<Value>(
    _ body: (inout LeaseTable, ContinuousClock.Instant) throws -> Value
  ) rethrows -> Value {
    let now = database.clock.now
    let (value, listening) = try database.table.withLock { table in
      let value = try body(&table, now)
      let announced = table.announced
      table.announced = []
      let listening = table.workers.filter { _, worker in
        worker.hasSession && announced.contains(worker.registration.scope)
      }
      return (value, listening.keys.sorted())
    }
    hint(listening)
    return value
  }

  private func end(_ fault: LeaseStoreFault) async throws {
    try await pause(fault.delayAfter)
    if fault.outcome == .replyLost { throw TidemarkError(.outcomeUnknown, "The store did not answer.") }
  }

  private func pause(_ duration: Duration) async throws {
    if duration > .zero { try await database.clock.sleep(for: duration) }
  }

  // MARK: The worker's own session

  public func register(_ worker: WorkerRegistration) async throws -> WorkerIncarnation {
    try await perform(.register) { $0.register(worker, at: $1) }
  }

  public func heartbeat(_ beat: Heartbeat) async throws -> HeartbeatReply? {
    let reply = try await perform(.heartbeat, by: beat.incarnation) { try $0.heartbeat(beat, at: $1) }
    if reply == nil { finishHints(for: beat.incarnation) }
    return reply
  }

  public func serve(
    _ streams: Set<String>,
    version: Int64,
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope
  ) async throws {
    try await perform(.serve, by: incarnation) { table, _ in
      table.serve(streams, version: version, as: incarnation, in: scope)
    }
  }

  public func look(as incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> LookReply {
    try await perform(.look, by: incarnation) { $0.look(as: incarnation, in: scope, at: $1) }
  }

  public func deregister(_ incarnation: WorkerIncarnation, in scope: LeaseScope) async throws {
    try await perform(.deregister, by: incarnation) { table, _ in table.deregister(incarnation, in: scope) }
    finishHints(for: incarnation)
  }

  public func hints(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let id = database.listeners.withLock { listeners in
      listeners.nextID += 1
      listeners.continuations[incarnation, default: [:]][listeners.nextID] = continuation
      return listeners.nextID
    }
    let database = database
    continuation.onTermination = { _ in
      database.listeners.withLock { _ = $0.continuations[incarnation]?.removeValue(forKey: id) }
    }
    return stream
  }

  private func hint(_ incarnations: [WorkerIncarnation]) {
    let continuations = database.listeners.withLock { listeners in
      incarnations.flatMap { incarnation in
        (listeners.continuations[incarnation] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
      }
    }
    for continuation in continuations { continuation.yield() }
  }

  private func finishHints(for incarnation: WorkerIncarnation) {
    let continuations = database.listeners.withLock { $0.continuations.removeValue(forKey: incarnation) }
    for continuation in (continuations ?? [:]).values { continuation.finish() }
  }

  // MARK: Planning

  public func plan(
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope,
    handoffTimeout: Duration,
    decide: @escaping @Sendable (FleetSnapshot) -> [Assignment]
  ) async throws -> PlanOutcome {
    let fault = try await begin(.plan, by: incarnation)
    switch change({ $0.beginPlan(as: incarnation, in: scope, at: $1) }) {
    case .busy: return .busy
    case .dead: return .dead
    case .began(let draft):
      do {
        try await pause(fault.delayInside)
      } catch {
        change { table, _ in table.endPlan(draft.token, in: scope) }
        throw error
      }
      let steps = decide(draft.snapshot)
      let applied = change {
        $0.apply(steps, of: draft, in: scope, handoffTimeout: handoffTimeout, at: $1)
      }
      guard let applied else {
        throw TidemarkError(.storeUnavailable, "The planning round took too long and was ended.")
      }
      try await end(fault)
      return .applied(applied.steps, dead: applied.dead)
    }
  }

  // MARK: Leases

  public func createLeases(_ leases: [NewLease], in scope: LeaseScope) async throws -> Int {
    try await perform(.createLeases) { table, _ in table.create(leases, in: scope) }
  }

  public func leases(in scope: LeaseScope) async throws -> [Lease] {
    try await perform(.leases) { table, _ in table.sortedLeases(in: scope) }
  }

  public func leases(ownedBy incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> [Lease] {
    try await perform(.leasesOwnedBy, by: incarnation) { table, _ in
      table.sortedLeases(in: scope).filter { $0.owner == incarnation }
    }
  }

  public func lease(_ key: LeaseKey, in scope: LeaseScope) async throws -> Lease? {
    try await perform(.lease) { table, _ in table.row(key, in: scope)?.lease }
  }

  public func workers(in scope: LeaseScope) async throws -> [WorkerRecord] {
    try await perform(.workers) { $0.workerRecords(in: scope, at: $1) }
  }

  // MARK: The owner's writes

  public func checkpoint(_ writes: [CheckpointWrite]) async throws -> [WriteOutcome] {
    if writes.contains(where: { $0.checkpoint == .shardEnd }) { throw TidemarkError.shardEndAsCheckpoint }
    return try await perform(.checkpoint, by: writes.first?.grant.owner) { table, _ in
      try writes.map { try table.checkpoint($0) }
    }
  }

  public func prepareCheckpoint(
    _ pending: Lease.PendingCheckpoint,
    for grant: LeaseGrant,
    from: Checkpoint
  ) async throws -> WriteOutcome {
    try await perform(.prepareCheckpoint, by: grant.owner) { table, _ in
      table.prepare(pending, for: grant, from: from)
    }
  }

  public func endShard(
    _ grant: LeaseGrant,
    children: [Shard],
    restingOn ending: ShardEnding
  ) async throws -> WriteOutcome {
    try await perform(.endShard, by: grant.owner) { table, _ in
      table.endShard(grant, children: children, restingOn: ending)
    }
  }

  public func transfer(_ grant: LeaseGrant) async throws -> WriteOutcome {
    try await perform(.transfer, by: grant.owner) { table, _ in table.transfer(grant) }
  }

  public func stop(_ grant: LeaseGrant, reason: String) async throws -> WriteOutcome {
    try await perform(.stop, by: grant.owner) { table, _ in table.stop(grant, reason: reason) }
  }

  public func deadLetter(
    _ letters: [DeadLetter],
    passing write: CheckpointWrite
  ) async throws -> WriteOutcome {
    try await perform(.deadLetter, by: write.grant.owner) { table, _ in
      try table.deadLetter(letters, passing: write)
    }
  }

  // MARK: Transactions

  /// Runs a transaction of a processor's own, for ``Tidemark/Checkpointer/checkpoint(in:)``: commits when `body` returns,
  /// and does nothing if it throws or a write was refused.
  ///
  /// It holds no locks: a lease that changes hands before the end prevents the commit instead. Faults of
  /// ``LeaseStoreCall/Method/commit`` make its outcome unknown.
  @discardableResult
  public nonisolated(nonsending) func transaction<Result>(
    _ body: (InMemoryTransaction) async throws -> Result
  ) async throws -> Result {
    let transaction = InMemoryTransaction { [database] steps in
      try database.table.withLock { try $0.outcome(of: steps) }
    }
    let result = try await body(transaction)
    let steps = transaction.steps
    let fault = try await begin(.commit, by: steps.first?.write.grant.owner)
    try change { table, _ in try table.commit(steps) }
    transaction.performEffects()
    try await end(fault)
    transaction.performCommitActions()
    return result
  }

  // MARK: Operators

  public func reset(
    _ key: LeaseKey,
    in scope: LeaseScope,
    to checkpoint: Checkpoint?
  ) async throws -> Lease {
    try await perform(.reset) { table, _ in try table.reset(key, in: scope, to: checkpoint) }
  }

  public func deleteEndedLeases(_ keys: [LeaseKey], in scope: LeaseScope) async throws {
    try await perform(.deleteEndedLeases) { table, _ in table.deleteEnded(keys, in: scope) }
  }
}
