import Tidemark

extension LeaseTable {
  /// What a planning round has read: it is written back only at the round's end, all at once.
  struct Draft {
    var token: Int
    var began: Instant
    var dead: [WorkerIncarnation]
    var seenChange: Int64
    var snapshot: FleetSnapshot
  }

  enum PlanStart {
    case busy
    case dead
    case began(Draft)
  }

  mutating func beginPlan(as planner: WorkerIncarnation, in scope: LeaseScope, at now: Instant) -> PlanStart {
    if let running = scopes[scope]?.planner, running.since.duration(to: now) < Self.planningLimit {
      return .busy
    }
    guard let worker = workers[planner], worker.state != .dead, worker.registration.scope == scope else {
      return .dead
    }
    let token = nextToken()
    noteHistory(of: scope)
    scopes[scope, default: Scope()].planner = (token, now)
    var view = self
    let dead = view.buryDead(evidenceOfDeath(for: planner, in: scope, at: now), in: scope, at: now)
    let workers = view.livingWorkers(in: scope).map { incarnation, row in
      FleetSnapshot.Worker(
        incarnation: incarnation,
        streams: row.registration.streams,
        isDraining: row.state == .draining,
        maximumLeases: row.registration.maximumLeases,
        refused: row.refused
      )
    }
    return .began(
      Draft(
        token: token,
        began: now,
        dead: dead,
        seenChange: scopes[scope]?.changeVersion ?? 0,
        snapshot: FleetSnapshot(workers: workers, leases: view.sortedLeases(in: scope))
      )
    )
  }

  mutating func endPlan(_ token: Int, in scope: LeaseScope) {
    if scopes[scope]?.planner?.token == token { scopes[scope]?.planner = nil }
  }

  /// A worker that has beaten since the round began lives, and knows that it does.
  ///
  /// - Returns: the steps that were applied and the workers that were found dead; `nil` if the round took so long that
  ///   it lost its place.
  mutating func apply(
    _ steps: [Assignment],
    of draft: Draft,
    in scope: LeaseScope,
    handoffTimeout: Duration,
    at now: Instant
  ) -> (steps: [Assignment], dead: [WorkerIncarnation])? {
    guard scopes[scope]?.planner?.token == draft.token else { return nil }
    endPlan(draft.token, in: scope)
    let before = scopes[scope]?.leases.mapValues(\.lease)
    let dead = draft.dead.filter { workers[$0].map { $0.heartbeatAt <= draft.began } ?? false }
    buryDead(dead, in: scope, at: now)
    let seen = Dictionary(uniqueKeysWithValues: draft.snapshot.leases.map { ($0.key, $0) })
    let applied = steps.filter { step in
      apply(step, seen: seen, in: scope, handoffDeadline: now.advanced(by: handoffTimeout))
    }
    scopes[scope]?.plannedVersion = draft.seenChange
    if scopes[scope]?.leases.mapValues(\.lease) != before { note(scope, assignments: true) }
    return (applied, dead)
  }

  /// Marks workers dead, releases their leases, and clears the handoffs that nobody will fulfil.
  @discardableResult
  private mutating func buryDead(
    _ dead: [WorkerIncarnation],
    in scope: LeaseScope,
    at now: Instant
  ) -> [WorkerIncarnation] {
    for incarnation in dead { workers[incarnation]?.state = .dead }
    releaseLeases(of: Set(dead), in: scope)
    for (key, var row) in scopes[scope]?.leases ?? [:] {
      guard let target = row.lease.handoffTo else { continue }
      if isActive(target, in: scope), (row.handoffDeadline ?? now) >= now { continue }
      row.clearHandoff()
      scopes[scope]?.leases[key] = row
    }
    workers = workers.filter { _, worker in
      worker.registration.scope != scope || worker.state != .dead
        || worker.heartbeatAt.duration(to: now) < Self.deadWorkersAreKept
    }
    return dead
  }

  private mutating func apply(
    _ step: Assignment,
    seen: [LeaseKey: Lease],
    in scope: LeaseScope,
    handoffDeadline: Instant
  ) -> Bool {
    let (key, target) = (step.key, step.target)
    guard var row = row(key, in: scope), let seen = seen[key], isActive(target, in: scope),
      row.lease.owner == seen.owner, row.lease.epoch == seen.epoch
    else { return false }
    switch step {
    case .assign:
      guard row.lease.owner == nil, !row.lease.isEnded, row.lease.stoppedReason == nil else { return false }
      row.give(to: target, atLeast: epochFloor())
    case .handOff:
      guard let owner = row.lease.owner, owner != target, row.lease.handoffTo != target else { return false }
      row.lease.handoffTo = target
      row.handoffDeadline = handoffDeadline
    }
    scopes[scope]?.leases[key] = row
    return true
  }
}
