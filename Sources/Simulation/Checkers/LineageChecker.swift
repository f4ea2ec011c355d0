import Tidemark

/// S5: a child starts only when every parent is at `SHARD_END`, or is proven gone. And what has ended is not read
/// again.
struct LineageChecker: Checker {
  let name = "S5"
  private let startsAtLatest: Bool
  private var leases: [LeaseKey: Lease] = [:]
  private var ended: Set<LeaseKey> = []
  /// The last epochs that were granted in what is lost.
  private var lost: [LeaseKey: Epoch] = [:]

  init(_ scenario: Scenario) {
    startsAtLatest = scenario.startsAtLatest
  }

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .leasesChanged(let call, let before, let after):
      leases = after
      for (key, lease) in after {
        if lease.isEnded { ended.insert(key) }
        if before[key] == nil, ended.contains(key) {
          return "\(key) has ended, and \(call.method) adds a lease for it again"
        }
      }
      return nil
    case .tailLost(let left, _):
      // What ended in the part that was lost has not ended.
      ended = ended.filter { key in left[key]?.isEnded ?? (leases[key] == nil) }
      for (key, lease) in leases where left[key]?.epoch != lease.epoch { lost[key] = lease.epoch }
      leases = left
      return nil
    case .initialized(_, let grant):
      // A worker that was granted the lease in what is lost may not know it yet. It was right then, and can write
      // nothing now.
      if let lost = lost[grant.key], grant.epoch <= lost, leases[grant.key]?.epoch != grant.epoch {
        return nil
      }
      for parent in truth.shards[grant.key]?.parents ?? [] where !mayFollow(parent, truth) {
        return "\(grant.key) started before its parent \(parent) had ended"
      }
      return nil
    default:
      return nil
    }
  }

  private func mayFollow(_ parent: LeaseKey, _ truth: StreamTruth) -> Bool {
    if ended.contains(parent) { return true }
    if leases[parent] != nil { return false }
    return truth.isRemoved(parent) || startsAtLatest
  }
}
