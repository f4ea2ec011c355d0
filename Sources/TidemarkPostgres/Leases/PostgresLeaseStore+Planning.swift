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
        let statements = PlanningStatements.apply(round.changes(steps), in: scope)
        let rows = try await transaction.pipeline(statements)[0]
        let applied = Set(try rows.map { try $0.decode("shard_id", as: String.self) })
        return (
          .applied(round.valid(steps).filter { applied.contains($0.shardID) }, dead: round.dead),
          Hindrance(
            ghosts: round.ghosts,
            skipped: round.skipped.union(round.valid(steps).map(\.shardID)).subtracting(applied)
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
  private let hasReleased: Bool
  /// Workers that are dead and may still have sessions.
  let ghosts: [WorkerIncarnation]
  /// The leases that had to be changed and were locked by somebody else.
  let skipped: Set<String>
  private let handoffTimeout: Duration
  private let leases: [String: Lease]

  init(_ results: [PQRows], handoffTimeout: Duration) throws {
    seenChange = try results[0].first?.decode(Int64.self) ?? 0
    dead = try results[1].map { WorkerIncarnation(try $0.decode("incarnation", as: Int64.self)) }.sorted()
    hasReleased = !dead.isEmpty || results[2].affectedRows > 0 || results[3].affectedRows > 0
    var (workers, ghosts): ([FleetSnapshot.Worker], [WorkerIncarnation]) = ([], [])
    for row in results[5] {
      let (incarnation, state, maximumLeases, refused) = try row.decode(
        (Int64, String, Int32?, [String]).self
      )
      if state == WorkerRecord.State.dead.rawValue {
        ghosts.append(WorkerIncarnation(incarnation))
        continue
      }
      workers.append(
        FleetSnapshot.Worker(
          incarnation: WorkerIncarnation(incarnation),
          isDraining: state == WorkerRecord.State.draining.rawValue,
          maximumLeases: maximumLeases.map { Int($0) },
          refusedShardIDs: Set(refused)
        )
      )
    }
    let living = Set(workers.map(\.incarnation))
    let active = Set(workers.filter { !$0.isDraining }.map(\.incarnation))
    var skipped: Set<String> = []
    let leases = try results[6].map { row in
      var lease = try Lease(row)
      if let owner = lease.owner, !living.contains(owner) {
        (lease.owner, lease.lastOwner, lease.handoffTo) = (nil, owner, nil)
        skipped.insert(lease.shardID)
      }
      if let target = lease.handoffTo, !active.contains(target) {
        lease.handoffTo = nil
        skipped.insert(lease.shardID)
      }
      return lease
    }
    (self.ghosts, self.skipped) = (ghosts, skipped)
    self.handoffTimeout = handoffTimeout
    self.leases = Dictionary(uniqueKeysWithValues: leases.map { ($0.shardID, $0) })
    snapshot = FleetSnapshot(workers: workers, leases: leases)
  }

  /// The steps that make sense of what was shown; the first, where several name one lease.
  func valid(_ steps: [Assignment]) -> [Assignment] {
    let active = Set(snapshot.workers.filter { !$0.isDraining }.map(\.incarnation))
    var named: Set<String> = []
    return steps.filter { step in
      guard let lease = leases[step.shardID], active.contains(step.target), !named.contains(step.shardID)
      else { return false }
      let makesSense =
        switch step {
        case .assign: lease.owner == nil && !lease.isEnded && lease.stoppedReason == nil
        case .handOff(_, let target):
          lease.owner != nil && lease.owner != target && lease.handoffTo != target
        }
      if makesSense { named.insert(step.shardID) }
      return makesSense
    }
  }

  func changes(_ steps: [Assignment]) -> PlanningStatements.Changes {
    var changes = PlanningStatements.Changes(
      handoffTimeout: handoffTimeout,
      seenChange: skipped.isEmpty ? seenChange : nil,
      hasReleased: hasReleased
    )
    for step in valid(steps) {
      guard let lease = leases[step.shardID] else { continue }
      switch step {
      case .assign(_, let target): changes.assigned.append((lease, target))
      case .handOff(_, let target): changes.handedOff.append((lease, target))
      }
    }
    return changes
  }
}

extension Assignment {
  fileprivate var shardID: String {
    switch self {
    case .assign(let shardID, _), .handOff(let shardID, _): shardID
    }
  }

  fileprivate var target: WorkerIncarnation {
    switch self {
    case .assign(_, let target), .handOff(_, let target): target
    }
  }
}
