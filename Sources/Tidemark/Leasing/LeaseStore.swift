/// Where the leases stand: a small database that all workers of an application share.
///
/// Every write is conditional and atomic. A write that its condition refuses returns normally and says so; an
/// error means that the store did not do it (``TidemarkError/Code/storeUnavailable``) or that nobody knows
/// (``TidemarkError/Code/outcomeUnknown``). All times are the store's own clock's: hosts may disagree about the
/// time of day.
///
/// `LeaseStoreConformance` in TidemarkTestKit holds the tests that every store must pass.
public protocol LeaseStore: Sendable {
  // MARK: The worker's own session

  /// Registers a worker and opens its session. Losing the session is a sign of death, so the store notices a
  /// killed process at once where it can.
  func register(_ worker: WorkerRegistration) async throws -> WorkerIncarnation

  /// Says that the worker lives, opening its session again if that was lost. Calls for a plan if its state or what it
  /// refuses has changed.
  ///
  /// - Returns: `nil` if the incarnation was declared dead; then all its leases are lost and the worker has to
  ///   register again.
  func heartbeat(_ beat: Heartbeat) async throws -> HeartbeatReply?

  /// Says which streams a worker serves from now on, and calls for a plan. Harmless for a worker that is dead.
  ///
  /// - Parameter version: counts what the worker has said, from 1; 0 is what it has registered with. An earlier one that
  ///   comes late changes nothing, nor does one that comes again.
  func serve(
    _ streams: Set<String>,
    version: Int64,
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope
  ) async throws

  /// Looks, cheaply, whether anything calls for a plan: a worker whose session is gone or whose heartbeat is
  /// old, a worker that drains, a lease that could start, a handoff that is overdue.
  func look(as incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> LookReply

  /// Ends the session and the registration. What the worker still owns becomes unowned, with a new epoch.
  func deregister(_ incarnation: WorkerIncarnation, in scope: LeaseScope) async throws

  /// Hints that something in the scope has changed. Any of them may be lost, late or doubled.
  func hints(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<Void>

  /// What keeps leases from changing hands, as this worker's planning rounds find it. Each is reported once.
  func blockages(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<LeaseBlockage>

  // MARK: Planning

  /// Runs one planning round if nobody else is in the middle of one: finds the dead, shows the fleet to
  /// `decide` and applies what it answers, all in one transaction. Each step applies only to a lease that is
  /// still as `decide` saw it.
  ///
  /// The old heartbeat of another worker counts as a sign of death only once `incarnation` itself has been
  /// heartbeating without a gap for one failover interval.
  ///
  /// - Parameter handoffTimeout: how long an owner has to hand a lease off before the request lapses.
  func plan(
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope,
    handoffTimeout: Duration,
    decide: @escaping @Sendable (FleetSnapshot) -> [Assignment]
  ) async throws -> PlanOutcome

  // MARK: Leases

  /// Adds leases that do not exist yet; those that do are left alone.
  /// - Returns: how many were added.
  func createLeases(_ leases: [NewLease], in scope: LeaseScope) async throws -> Int

  /// All leases of the scope.
  func leases(in scope: LeaseScope) async throws -> [Lease]

  /// The leases that `incarnation` owns.
  func leases(ownedBy incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> [Lease]

  /// One lease; `nil` if there is none.
  func lease(_ key: LeaseKey, in scope: LeaseScope) async throws -> Lease?

  /// The workers of the scope, also the dead ones that are not forgotten yet.
  func workers(in scope: LeaseScope) async throws -> [WorkerRecord]

  // MARK: The owner's writes

  /// Moves checkpoints forward, all in one statement, and clears what was pending on them. Repeating a write is
  /// harmless. One of a lease that is not as far as ``CheckpointWrite/from`` says counts as lost.
  /// - Returns: what became of each write, in the order given.
  func checkpoint(_ writes: [CheckpointWrite]) async throws -> [WriteOutcome]

  /// Stores a prepared checkpoint beside the committed one.
  /// - Parameter from: see ``CheckpointWrite/from``.
  func prepareCheckpoint(
    _ pending: Lease.PendingCheckpoint,
    for grant: LeaseGrant,
    from: Checkpoint
  ) async throws -> WriteOutcome

  /// Ends a shard: adds its children at `TRIM_HORIZON`, sets `SHARD_END` and gives the lease up, in one
  /// transaction.
  ///
  /// A child whose other parent has no lease is left out. That parent may only have come since the last shard sync,
  /// and without its lease the child would not wait for it; its own end adds the child, or the next sync adds both.
  ///
  /// An end whose `ending` does not hold counts as one of a lost lease.
  func endShard(_ grant: LeaseGrant, children: [Shard], restingOn ending: ShardEnding) async throws
    -> WriteOutcome

  /// Gives a lease up: to the worker that a handoff names if there is one and it is active, else to nobody.
  /// The epoch rises.
  func transfer(_ grant: LeaseGrant) async throws -> WriteOutcome

  /// Gives a lease up and marks it so that nobody takes it until an operator's reset.
  func stop(_ grant: LeaseGrant, reason: String) async throws -> WriteOutcome

  /// Puts records into the dead-letter queue and moves the checkpoint past them, in one transaction. Repeating
  /// it is harmless.
  func deadLetter(_ letters: [DeadLetter], passing write: CheckpointWrite) async throws -> WriteOutcome

  // MARK: Operators

  /// Sets a checkpoint, back as well as forward; the epoch rises, so the present owner loses the lease. With
  /// `nil` the checkpoint stays and only a stopped lease is started again.
  /// - Throws: ``TidemarkError/Code/leaseNotFound``.
  func reset(_ key: LeaseKey, in scope: LeaseScope, to checkpoint: Checkpoint?) async throws -> Lease

  /// Deletes leases that have ended; others are left alone.
  func deleteEndedLeases(_ keys: [LeaseKey], in scope: LeaseScope) async throws
}

extension LeaseStore {
  public func prepareCheckpoint(
    _ pending: Lease.PendingCheckpoint,
    for grant: LeaseGrant
  ) async throws -> WriteOutcome {
    try await prepareCheckpoint(pending, for: grant, from: .latest)
  }

  public func endShard(_ grant: LeaseGrant, children: [Shard]) async throws -> WriteOutcome {
    try await endShard(grant, children: children, restingOn: ShardEnding())
  }

  /// Nothing can: there are no locks.
  public func blockages(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<
    LeaseBlockage
  > {
    AsyncStream { $0.finish() }
  }
}
