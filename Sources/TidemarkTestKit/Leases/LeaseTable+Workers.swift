import Tidemark

extension LeaseTable {
  mutating func register(_ registration: WorkerRegistration, at now: Instant) -> WorkerIncarnation {
    enterHistory()
    let incarnation = WorkerIncarnation(nextNumber())
    workers[incarnation] = WorkerRow(
      registration: registration,
      heartbeatAt: now,
      heartbeatingSince: now,
      serverStart: serverStart
    )
    note(registration.scope, callsForPlan: true)
    return incarnation
  }

  mutating func heartbeat(_ beat: Heartbeat, at now: Instant) throws -> HeartbeatReply? {
    guard beat.state != .dead else {
      throw TidemarkError(.unsupported, "A worker cannot report itself dead.", advice: "Deregister it.")
    }
    guard var worker = workers[beat.incarnation], worker.state != .dead,
      worker.registration.scope == beat.scope
    else { return nil }
    if worker.heartbeatAt.duration(to: now) > worker.registration.failoverInterval / 2 {
      worker.heartbeatingSince = now
    }
    worker.heartbeatAt = now
    worker.hasSession = true
    worker.serverStart = serverStart
    if worker.state != beat.state || worker.refused != beat.refused {
      worker.state = beat.state
      worker.refused = beat.refused
      note(beat.scope, callsForPlan: true)
    }
    workers[beat.incarnation] = worker
    store(beat.measurements, of: beat.incarnation, in: beat.scope)
    return HeartbeatReply(
      assignmentVersion: scopes[beat.scope]?.assignmentVersion ?? 0,
      liveWorkers: livingWorkers(in: beat.scope).count,
      history: scopes[beat.scope]?.history ?? LeaseHistory(),
      streamsVersion: worker.streamsVersion
    )
  }

  mutating func serve(
    _ streams: Set<String>,
    version: Int64,
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope
  ) {
    guard var worker = workers[incarnation], worker.state != .dead, worker.registration.scope == scope,
      version > worker.streamsVersion
    else { return }
    worker.registration.streams = streams
    worker.streamsVersion = version
    workers[incarnation] = worker
    note(scope, callsForPlan: true)
  }

  private mutating func store(
    _ measurements: [LeaseKey: Heartbeat.Measurement],
    of owner: WorkerIncarnation,
    in scope: LeaseScope
  ) {
    for (key, measurement) in measurements {
      guard var row = row(key, in: scope), row.lease.owner == owner else { continue }
      row.lease.load = measurement.load
      row.lease.millisBehindLatest = measurement.millisBehindLatest
      scopes[scope]?.leases[key] = row
    }
  }

  /// The workers that `looker` may take for dead now.
  func evidenceOfDeath(for looker: WorkerIncarnation, in scope: LeaseScope, at now: Instant)
    -> [WorkerIncarnation]
  {
    let witness = workers[looker]
    return livingWorkers(in: scope).compactMap { incarnation, worker in
      guard incarnation != looker else { return nil }
      let lostSession = !worker.hasSession && worker.serverStart == serverStart
      // What is no gap to the one may be longer than the other's whole interval: the longer of both counts.
      let interval = max(
        worker.registration.failoverInterval,
        witness?.registration.failoverInterval ?? .zero
      )
      let isOverdue = worker.heartbeatAt.duration(to: now) > interval
      let looksSteadily = witness.map { beatsSteadily($0, for: interval, at: now) } ?? false
      return lostSession || (isOverdue && looksSteadily) ? incarnation : nil
    }
  }

  /// Whether the worker has beaten without a gap for this long, up to now.
  private func beatsSteadily(_ worker: WorkerRow, for interval: Duration, at now: Instant) -> Bool {
    worker.heartbeatingSince.duration(to: now) >= interval
      && worker.heartbeatAt.duration(to: now) <= worker.registration.failoverInterval / 2
  }

  func look(as looker: WorkerIncarnation, in scope: LeaseScope, at now: Instant) -> LookReply {
    let state = scopes[scope] ?? Scope()
    guard let worker = workers[looker], worker.state != .dead else {
      return LookReply(needsPlan: false, assignmentVersion: state.assignmentVersion, history: state.history)
    }
    let isOverdue = state.leases.values.contains { ($0.handoffDeadline ?? now) < now }
    let needsPlan =
      state.changeVersion > state.plannedVersion || isOverdue
      || !evidenceOfDeath(for: looker, in: scope, at: now).isEmpty
    return LookReply(
      needsPlan: needsPlan,
      assignmentVersion: state.assignmentVersion,
      history: state.history
    )
  }

  mutating func deregister(_ incarnation: WorkerIncarnation, in scope: LeaseScope) {
    guard workers[incarnation]?.registration.scope == scope else { return }
    workers[incarnation] = nil
    releaseLeases(of: [incarnation], in: scope)
    note(scope, assignments: true, callsForPlan: true)
  }

  mutating func releaseLeases(of owners: Set<WorkerIncarnation>, in scope: LeaseScope) {
    for (key, var row) in scopes[scope]?.leases ?? [:] {
      guard let owner = row.lease.owner, owners.contains(owner) else { continue }
      row.give(to: nil, atLeast: epochFloor())
      scopes[scope]?.leases[key] = row
    }
  }

  func workerRecords(in scope: LeaseScope, at now: Instant) -> [WorkerRecord] {
    workers.filter { $0.value.registration.scope == scope }
      .sorted { $0.key < $1.key }
      .map { incarnation, worker in
        WorkerRecord(
          registration: worker.registration,
          incarnation: incarnation,
          state: worker.state,
          heartbeatAge: worker.heartbeatAt.duration(to: now)
        )
      }
  }
}
