import Tidemark

extension LeaseTable {
  mutating func create(_ leases: [NewLease], in scope: LeaseScope) -> Int {
    var added = 0
    for new in leases where row(new.key, in: scope) == nil {
      let lease = Lease(
        key: new.key,
        parentShardIDs: new.parentShardIDs,
        hashRange: new.hashRange,
        checkpoint: new.checkpoint
      )
      scopes[scope, default: Scope()].leases[new.key] = LeaseRow(lease: lease)
      added += 1
    }
    if added > 0 { note(scope, callsForPlan: true) }
    return added
  }

  /// The lease, if the grant still holds.
  private func granted(_ grant: LeaseGrant) -> LeaseRow? {
    guard let row = row(grant.key, in: grant.scope), row.lease.owner == grant.owner,
      row.lease.epoch == grant.epoch
    else { return nil }
    return row
  }

  /// The lease, if this very grant was the last to give it up: then a repeated write was done already.
  private func givenUp(_ grant: LeaseGrant) -> Lease? {
    guard let row = row(grant.key, in: grant.scope), row.leftEpoch == row.lease.epoch,
      case let lease = row.lease, lease.lastOwner == grant.owner,
      lease.lastEpoch == grant.epoch, let worker = workers[grant.owner], worker.state != .dead
    else { return nil }
    return lease
  }

  private func isOn(_ history: Int64?) -> Bool {
    history.map { isHistoryNoted && historyNumber == $0 } ?? true
  }

  private mutating func save(_ row: LeaseRow, _ scope: LeaseScope) {
    scopes[scope]?.leases[row.lease.key] = row
  }

  mutating func checkpoint(_ write: CheckpointWrite, mustAdvance: Bool = false) throws -> WriteOutcome {
    guard write.checkpoint != .shardEnd else { throw TidemarkError.shardEndAsCheckpoint }
    guard var row = granted(write.grant), row.lease.checkpoint >= write.from else { return .leaseLost }
    guard write.checkpoint >= row.lease.checkpoint else { return .wouldGoBack }
    if mustAdvance, write.checkpoint == row.lease.checkpoint { return .wouldGoBack }
    row.lease.checkpoint = write.checkpoint
    row.lease.pendingCheckpoint = nil
    save(row, write.grant.scope)
    return .accepted
  }

  mutating func prepare(
    _ pending: Lease.PendingCheckpoint,
    for grant: LeaseGrant,
    from: Checkpoint
  ) -> WriteOutcome {
    guard var row = granted(grant), row.lease.checkpoint >= from else { return .leaseLost }
    guard pending.checkpoint >= row.lease.checkpoint else { return .wouldGoBack }
    row.lease.pendingCheckpoint = pending
    save(row, grant.scope)
    return .accepted
  }

  mutating func endShard(_ grant: LeaseGrant, children: [Shard], restingOn ending: ShardEnding)
    -> WriteOutcome
  {
    guard var row = granted(grant) else {
      return givenUp(grant)?.isEnded == true ? .accepted : .leaseLost
    }
    guard row.lease.checkpoint >= ending.from, isOn(ending.history) else { return .leaseLost }
    row.lease.checkpoint = .shardEnd
    row.lease.pendingCheckpoint = nil
    row.lease.childShardIDs = children.map(\.id)
    row.give(to: nil, atLeast: epochFloor())
    save(row, grant.scope)
    let complete = children.filter { child in
      child.parentIDs.allSatisfy { self.row(row.lease.relative($0), in: grant.scope) != nil }
    }
    _ = create(
      complete.map { NewLease(stream: grant.stream, shard: $0, checkpoint: $0.beginning) },
      in: grant.scope
    )
    note(grant.scope, assignments: true, callsForPlan: true)
    return .accepted
  }

  mutating func transfer(_ grant: LeaseGrant) -> WriteOutcome {
    guard var row = granted(grant) else {
      let wasGivenUp = givenUp(grant).map { !$0.isEnded && $0.stoppedReason == nil } ?? false
      return wasGivenUp ? .accepted : .leaseLost
    }
    let target = row.lease.handoffTo.flatMap { isActive($0, in: grant.scope) ? $0 : nil }
    row.give(to: target, atLeast: epochFloor())
    save(row, grant.scope)
    note(grant.scope, assignments: true, callsForPlan: true)
    return .accepted
  }

  mutating func stop(_ grant: LeaseGrant, reason: String) -> WriteOutcome {
    guard var row = granted(grant) else {
      return givenUp(grant)?.stoppedReason != nil ? .accepted : .leaseLost
    }
    row.lease.stoppedReason = reason
    row.give(to: nil, atLeast: epochFloor())
    save(row, grant.scope)
    note(grant.scope, assignments: true, callsForPlan: true)
    return .accepted
  }

  mutating func deadLetter(_ letters: [DeadLetter], passing write: CheckpointWrite) throws -> WriteOutcome {
    let outcome = try checkpoint(write)
    guard outcome == .accepted else { return outcome }
    for letter in letters {
      let key = DeadLetterKey(lease: write.grant.key, checkpoint: letter.record.checkpoint)
      if scopes[write.grant.scope]?.deadLetters[key] == nil {
        scopes[write.grant.scope]?.deadLetters[key] = letter
      }
    }
    return outcome
  }

  mutating func reset(_ key: LeaseKey, in scope: LeaseScope, to checkpoint: Checkpoint?) throws -> Lease {
    guard var row = row(key, in: scope) else {
      throw TidemarkError.noSuchLease(key, in: scope)
    }
    row.lease.stoppedReason = nil
    if let checkpoint {
      row.lease.checkpoint = checkpoint
      row.lease.pendingCheckpoint = nil
      row.lease.childShardIDs = []
      row.give(to: nil, atLeast: epochFloor())
      // The owner lost the lease, it did not give it up: its own late transfer must not look like a success.
      (row.lease.lastOwner, row.lease.lastEpoch, row.leftEpoch) = (nil, nil, nil)
    }
    save(row, scope)
    note(scope, assignments: checkpoint != nil, callsForPlan: true)
    return row.lease
  }

  mutating func deleteEnded(_ keys: [LeaseKey], in scope: LeaseScope) {
    let leases = scopes[scope]?.leases.mapValues(\.lease) ?? [:]
    var children: [LeaseKey: [Lease]] = [:]
    for lease in leases.values {
      for parent in lease.parentShardIDs { children[lease.relative(parent), default: []].append(lease) }
    }
    for key in keys {
      guard let lease = leases[key], lease.isEnded,
        !lease.parentShardIDs.contains(where: { leases[lease.relative($0)] != nil }),
        children[key, default: []].allSatisfy({ $0.checkpoint > .trimHorizon }),
        lease.childShardIDs.allSatisfy({
          leases[lease.relative($0)].map { $0.checkpoint > .trimHorizon } ?? false
        })
      else { continue }
      scopes[scope]?.leases[key] = nil
      note(scope, callsForPlan: true)
    }
  }
}

extension TidemarkError {
  static let shardEndAsCheckpoint = TidemarkError(
    .checkpointOutOfRange,
    "A worker cannot write SHARD_END as a checkpoint.",
    advice: "Use endShard."
  )

  static func noSuchLease(_ key: LeaseKey, in scope: LeaseScope) -> TidemarkError {
    TidemarkError(
      .leaseNotFound,
      "\(scope) has no lease for shard \(key).",
      advice: "List the leases to see which there are."
    )
  }
}
