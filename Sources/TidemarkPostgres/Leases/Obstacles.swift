import Tidemark

/// What a store knows of what is in the way of its plans.
struct Obstacles {
  var listeners: [WorkerIncarnation: AsyncStream<LeaseBlockage>.Continuation] = [:]
  private var skippedSince: [LeaseScope: [LeaseKey: ContinuousClock.Instant]] = [:]
  private var told: Set<LeaseBlockage> = []
  private var waitsForTurn: [LeaseScope: LongWait] = [:]

  /// Notes which leases a plan had to skip because somebody has locked them.
  ///
  /// - Returns: those that have been locked for long.
  mutating func skip(_ keys: Set<LeaseKey>, in scope: LeaseScope, at now: ContinuousClock.Instant) -> Set<
    LeaseKey
  > {
    let before = skippedSince[scope] ?? [:]
    let since = Dictionary(uniqueKeysWithValues: keys.map { ($0, before[$0] ?? now) })
    skippedSince[scope] = since.isEmpty ? nil : since
    return Set(since.filter { $0.value.duration(to: now) >= LongWait.patience }.keys)
  }

  /// Notes whether a plan could not be made because somebody else has the turn.
  ///
  /// - Returns: whether that has lasted for so long that it is to be reported.
  mutating func wait(_ isBusy: Bool, in scope: LeaseScope, at now: ContinuousClock.Instant) -> Bool {
    waitsForTurn[scope, default: LongWait()].isDue(waits: isBusy, at: now)
  }

  /// Tells a planner's worker of what is new, and forgets what is over.
  mutating func tell(_ blockages: [LeaseBlockage], to planner: WorkerIncarnation) {
    for blockage in blockages where !told.contains(blockage) { listeners[planner]?.yield(blockage) }
    told = Set(blockages)
  }
}
