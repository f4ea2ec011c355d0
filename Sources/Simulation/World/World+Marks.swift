import Tidemark
import TidemarkTestKit

/// Which rare branches a call has gone through.
extension World {
  /// A planning round has read `snapshot` and is about to decide.
  func planned(on snapshot: FleetSnapshot) {
    let byShard = Dictionary(uniqueKeysWithValues: snapshot.leases.map { ($0.key, $0) })
    for lease in snapshot.leases where lease.owner == nil && !lease.isEnded {
      let parents = lease.parentShardIDs.compactMap { byShard[lease.relative($0)] }
      if parents.count > 1, parents.contains(where: \.isEnded), !parents.allSatisfy(\.isEnded) {
        mark(.childWaitedForSecondParent)
      }
      if snapshot.workers.contains(where: { $0.refused.contains(lease.key) }) {
        mark(.unownedShardRefused)
      }
    }
    if !snapshot.unservedStreams.isEmpty { mark(.streamUnserved) }
    if snapshot.workers.contains(where: { sessions.isOfAnEarlierServer($0.incarnation) }) {
      mark(.takeoverRefusedAfterRestart)
    }
  }

  /// What a planner was answered.
  func outcome(_ outcome: PlanOutcome) {
    switch outcome {
    case .busy: mark(.planWasBusy)
    case .dead: mark(.deadPlannerRefused)
    case .applied: break
    }
  }

  func noteOutcome<Value>(of call: StoreCall, _ value: Value?) {
    guard call.isOwnersWrite || call.method == .plan else { return }
    if call.method == .plan {
      if value == nil { mark(.planTookTooLong) }
      return
    }
    let outcomes = (value as? [WriteOutcome]) ?? (value as? WriteOutcome).map { [$0] } ?? []
    for (grant, outcome) in zip(call.grants, outcomes) {
      history.add("\(call.member) \(call.method.rawValue) under \(grant): \(outcome)", at: scheduler.now)
      switch outcome {
      case .leaseLost: mark(.staleWriteRefused)
      case .wouldGoBack: mark(.checkpointBackRefused)
      case .accepted:
        // It changes nothing because it was done before.
        let lease = leases[grant.key]
        if lease?.epoch != grant.epoch { mark(.repeatedWriteRecognised) }
      }
    }
  }

  /// Marks what has changed from `before` to the present leases.
  func markChanges(_ call: StoreCall, before: [LeaseKey: Lease]) {
    for (key, lease) in leases {
      guard let old = before[key] else { continue }
      if call.method == .transfer, old.epoch != lease.epoch {
        mark(lease.owner == nil ? .givenUpToNobody : .handedOff)
        let giver = store.currentWorkers(in: Self.scope).first { $0.incarnation == old.owner }
        if giver?.registration.streams.contains(key.stream) == false { mark(.streamLetGo) }
      }
      if old.handoffTo != nil, lease.handoffTo == nil, old.epoch == lease.epoch {
        let target = store.currentWorkers(in: Self.scope).first { $0.incarnation == old.handoffTo }
        mark(target?.state == .active ? .handoffDeadlinePassed : .handoffToDeadCleared)
      }
      if call.method == .plan, old.owner == nil, lease.owner != nil,
        lease.parentShardIDs.contains(where: { leases[lease.relative($0)]?.lastOwner == lease.owner })
      {
        mark(.childAtParentsOwner)
      }
      if lease.stoppedReason != nil, old.stoppedReason == nil { mark(.shardStopped) }
      if call.method == .reset { mark(.shardReset) }
      if old.checkpoint == .latest, lease.checkpoint != .latest { mark(.latestPlaceKept) }
      if call.method == .deregister, old.owner != nil, lease.owner == nil { mark(.drainTookTooLong) }
    }
    if call.method == .deleteEndedLeases { mark(.endedLeaseDeleted) }
    if call.method == .createLeases, !before.isEmpty { mark(.oldShardAddedLate) }
    markCaps(call)
  }

  private func markCaps(_ call: StoreCall) {
    guard call.method == .plan else { return }
    let counts = Dictionary(grouping: leases.values.compactMap(\.owner)) { $0 }.mapValues(\.count)
    let workers = store.currentWorkers(in: Self.scope).filter { $0.state == .active }
    let isFull = workers.contains { worker in
      worker.registration.maximumLeases.map { $0 <= counts[worker.incarnation, default: 0] } ?? false
    }
    if isFull, leases.values.contains(where: { $0.owner == nil && !$0.isEnded }) { mark(.capHeldLeaseBack) }
  }
}
