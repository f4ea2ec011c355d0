import LibPQ
import Synchronization
import Tidemark

extension PostgresLeaseStore {
  public func plan(
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope,
    handoffTimeout: Duration,
    decide: @escaping @Sendable (FleetSnapshot) -> [Assignment]
  ) async throws -> PlanOutcome {
    let (outcome, hindrance) = try await write {
      try await pool.transaction { transaction -> (PlanOutcome, Hindrance?) in
        let begun = try await transaction.pipeline(PlanningStatements.begin(as: incarnation, in: scope))[1]
        let (hasTurn, lives, _) = try begun[0].decode((Bool, Bool, Int64).self)
        guard lives else { return (.dead, nil) }
        guard hasTurn else { return (.busy, nil) }
        let round = try PlanningRound(
          try await transaction.pipeline(PlanningStatements.read(as: incarnation, in: scope)),
          handoffTimeout: handoffTimeout
        )
        let steps = decide(round.snapshot)
        let statements = PlanningStatements.apply(round.changes(steps), as: incarnation, in: scope)
        let rows = try await transaction.pipeline(statements)[0]
        let applied = Set(
          try rows.map { LeaseKey(stream: try $0.decode("stream"), shardID: try $0.decode("shard_id")) }
        )
        return (
          .applied(round.valid(steps).filter { applied.contains($0.key) }, dead: round.dead),
          Hindrance(
            ghosts: round.ghosts,
            skipped: round.skipped.union(round.valid(steps).map(\.key)).subtracting(applied)
          )
        )
      }
    }
    if obstacles.withLock({ $0.wait(outcome == .busy, in: scope, at: .now) }) {
      await tellOfPlanner(in: scope)
    }
    if let hindrance { await clearTheWay(of: hindrance, for: incarnation, in: scope) }
    return outcome
  }
}

/// What one planning round has read.
private struct PlanningRound {
  let dead: [WorkerIncarnation]
  let snapshot: FleetSnapshot
  private let seenChange: Int64
  private let seesAll: Bool
  private let hasReleased: Bool
  /// Workers that are dead and may still have sessions.
  let ghosts: [WorkerIncarnation]
  /// The leases that had to be changed and were locked by somebody else.
  let skipped: Set<LeaseKey>
  private let handoffTimeout: Duration
  private let leases: [LeaseKey: Lease]

  init(_ results: [PQRows], handoffTimeout: Duration) throws {
    (seenChange, seesAll) = try results[0].first?.decode((Int64, Bool).self) ?? (0, true)
    dead = try results[1].map { WorkerIncarnation(try $0.decode("incarnation", as: Int64.self)) }.sorted()
    hasReleased = !dead.isEmpty || results[2].affectedRows > 0 || results[3].affectedRows > 0
    var (workers, ghosts): ([FleetSnapshot.Worker], [WorkerIncarnation]) = ([], [])
    for row in results[5] {
      let (incarnation, state, maximumLeases, refused, streams) = try row.decode(
        (Int64, String, Int32?, [String], [String]).self
      )
      if state == WorkerRecord.State.dead.rawValue {
        ghosts.append(WorkerIncarnation(incarnation))
        continue
      }
      workers.append(
        FleetSnapshot.Worker(
          incarnation: WorkerIncarnation(incarnation),
          streams: Set(streams),
          isDraining: state == WorkerRecord.State.draining.rawValue,
          maximumLeases: maximumLeases.map { Int($0) },
          refused: Set(refused.map(LeaseKey.init(stored:)))
        )
      )
    }
    let living = Set(workers.map(\.incarnation))
    let active = Set(workers.filter { !$0.isDraining }.map(\.incarnation))
    var skipped: Set<LeaseKey> = []
    let leases = try results[6].map { row in
      var lease = try Lease(row)
      if let owner = lease.owner, !living.contains(owner) {
        (lease.owner, lease.lastOwner, lease.handoffTo) = (nil, owner, nil)
        skipped.insert(lease.key)
      }
      if let target = lease.handoffTo, !active.contains(target) {
        lease.handoffTo = nil
        skipped.insert(lease.key)
      }
      return lease
    }
    (self.ghosts, self.skipped) = (ghosts, skipped)
    self.handoffTimeout = handoffTimeout
    self.leases = Dictionary(uniqueKeysWithValues: leases.map { ($0.key, $0) })
    snapshot = FleetSnapshot(workers: workers, leases: leases)
  }

  /// The steps that make sense of what was shown; the first, where several name one lease.
  func valid(_ steps: [Assignment]) -> [Assignment] {
    let active = Set(snapshot.workers.filter { !$0.isDraining }.map(\.incarnation))
    var named: Set<LeaseKey> = []
    return steps.filter { step in
      guard let lease = leases[step.key], active.contains(step.target), !named.contains(step.key)
      else { return false }
      let makesSense =
        switch step {
        case .assign: lease.owner == nil && !lease.isEnded && lease.stoppedReason == nil
        case .handOff(_, let target):
          lease.owner != nil && lease.owner != target && lease.handoffTo != target
        }
      if makesSense { named.insert(step.key) }
      return makesSense
    }
  }

  func changes(_ steps: [Assignment]) -> PlanningStatements.Changes {
    var changes = PlanningStatements.Changes(
      handoffTimeout: handoffTimeout,
      seenChange: skipped.isEmpty ? seenChange : nil,
      seesAll: seesAll,
      hasReleased: hasReleased
    )
    for step in valid(steps) {
      guard let lease = leases[step.key] else { continue }
      switch step {
      case .assign(_, let target): changes.assigned.append((lease, target))
      case .handOff(_, let target): changes.handedOff.append((lease, target))
      }
    }
    return changes
  }
}
