import Tidemark

/// Compares what the workers say they did with what was committed and with what the lease table went through.
/// It shares no code with the protocol.
package struct FleetCheck: Sendable {
  /// What is wrong, in sentences. Empty is good.
  package private(set) var violations: [String] = []
  /// Changes that were committed.
  package private(set) var committed = 0
  /// Changes that were handled at least once.
  package private(set) var delivered = 0
  /// Handlings beyond the first of a change.
  package private(set) var repeats = 0
  /// Checkpoints under an epoch that was over that were tried and refused.
  package private(set) var refusedCheckpoints = 0

  /// - Parameters:
  ///   - journal: the committed changes of each order, in order.
  ///   - history: what all workers wrote down.
  ///   - parents: the parent shards of each shard.
  ///   - audit: every change of a lease.
  package init(
    journal: [Int64: [OrderChange]],
    history: [HistoryEntry],
    parents: [String: [String]],
    audit: [LeaseAudit.Change]
  ) {
    checkDelivery(journal, history)
    checkLineage(parents, history)
    checkLeases(audit)
    refusedCheckpoints = history.count { $0.kind == .staleCheckpointRefused }
    for entry in Self.staleCheckpointsAccepted(in: history, audit: audit) {
      note("\(entry.shard): a checkpoint under epoch \(entry.epoch), which was over, was accepted")
    }
  }

  /// The checkpoints that were accepted although their epoch was over.
  ///
  /// A worker that was declared dead while its lease's row was locked has lost its lease by its own account only: no plan
  /// could raise the epoch. If it then checkpoints in a transaction of its own, that is accepted under the epoch that is
  /// still the lease's, and the audit has it so.
  package static func staleCheckpointsAccepted(
    in history: [HistoryEntry],
    audit: [LeaseAudit.Change]
  ) -> [HistoryEntry] {
    history.filter { entry in
      guard entry.kind == .staleCheckpointAccepted else { return false }
      let lost = history.last {
        $0.kind == .leaseLost && $0.worker == entry.worker && $0.shard == entry.shard
          && $0.epoch == entry.epoch && $0.at <= entry.at
      }
      return !audit.contains {
        $0.shard == entry.shard && $0.oldEpoch == entry.epoch && $0.newEpoch == entry.epoch
          && $0.at >= lost?.at ?? .min && $0.at <= entry.at
      }
    }
  }

  /// How many records were handled that had been handled before, by anybody, counted from `moment` on.
  package static func repeats(in history: [HistoryEntry], since moment: Int64 = 0) -> Int {
    var seen: Set<OrderChange> = []
    return history.filter { $0.kind == .handled }.compactMap { entry in entry.change.map { (entry.at, $0) } }
      .count { at, change in !seen.insert(change).inserted && at >= moment }
  }

  private mutating func note(_ violation: @autoclosure () -> String) {
    if violations.count < 20 { violations.append(violation()) }
  }

  /// Every committed change is handled, nothing else is, and the changes of one order are handled in order: an
  /// attempt may go back, but never skip ahead.
  private mutating func checkDelivery(_ journal: [Int64: [OrderChange]], _ history: [HistoryEntry]) {
    let position = Dictionary(
      journal.values.flatMap { changes in changes.enumerated().map { ($1, $0) } },
      uniquingKeysWith: { first, _ in first }
    )
    committed = position.count
    var reached: [Int64: Int] = [:]
    var handled = 0
    for entry in history where entry.kind == .handled {
      guard let change = entry.change else { continue }
      handled += 1
      guard let index = position[change] else {
        note("\(change) was delivered but never committed")
        continue
      }
      let next = reached[change.order, default: 0]
      if index > next { note("order \(change.order): change \(index) was handled before change \(next)") }
      reached[change.order] = max(next, index + 1)
    }
    delivered = reached.values.reduce(0, +)
    repeats = handled - delivered
    for (order, changes) in journal where reached[order, default: 0] < changes.count {
      note(
        "order \(order): \(changes.count - reached[order, default: 0]) of \(changes.count) changes are missing"
      )
    }
  }

  /// A child's first record comes after the end of each of its parents.
  private mutating func checkLineage(_ parents: [String: [String]], _ history: [HistoryEntry]) {
    var ended: [String: Int] = [:]
    var started: [String: Int] = [:]
    for (index, entry) in history.enumerated() {
      if entry.kind == .shardEnded { ended[entry.shard] = index }
      if entry.kind == .leaseStarted && started[entry.shard] == nil { started[entry.shard] = index }
    }
    for (shard, parents) in parents {
      guard let start = started[shard] else { continue }
      for parent in parents where started[parent] != nil {
        if ended[parent].map({ $0 > start }) ?? true {
          note("\(shard) started before its parent \(parent) had ended")
        }
      }
    }
  }

  private mutating func checkLeases(_ audit: [LeaseAudit.Change]) {
    for violation in Self.leaseViolations(audit) { note(violation) }
  }

  /// What is wrong with the leases: an epoch never falls and rises exactly when the owner changes; a checkpoint never
  /// goes back.
  package static func leaseViolations(_ audit: [LeaseAudit.Change]) -> [String] {
    var violations: [String] = []
    for change in audit {
      if change.newEpoch < change.oldEpoch { violations.append("\(change.shard): the epoch fell") }
      if (change.newEpoch != change.oldEpoch) != (change.newOwner != change.oldOwner) {
        violations.append(
          "\(change.shard): epoch \(change.oldEpoch) → \(change.newEpoch) while the owner went from "
            + "\(change.oldOwner.map(String.init) ?? "nobody") to \(change.newOwner.map(String.init) ?? "nobody")"
        )
      }
      if change.wentBack {
        violations.append(
          "\(change.shard): the checkpoint went back from \(change.oldCheckpoint) to \(change.newCheckpoint)"
        )
      }
    }
    return violations
  }
}
