import Tidemark

/// S5: a child starts only when every parent is at `SHARD_END`, or is proven gone. And what has ended is not read
/// again.
struct LineageChecker: Checker {
  let name = "S5"
  private let startsAtLatest: Bool
  private var leases: [String: Lease] = [:]
  private var ended: Set<String> = []
  /// The last epochs that were granted in what is lost.
  private var lost: [String: Epoch] = [:]

  init(_ scenario: Scenario) {
    startsAtLatest = scenario.startsAtLatest
  }

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .leasesChanged(let call, let before, let after):
      leases = after
      for (shardID, lease) in after {
        if lease.isEnded { ended.insert(shardID) }
        if before[shardID] == nil, ended.contains(shardID) {
          return "\(shardID) has ended, and \(call.method) adds a lease for it again"
        }
      }
      return nil
    case .tailLost(let left, _):
      // What ended in the part that was lost has not ended.
      ended = ended.filter { shardID in left[shardID]?.isEnded ?? (leases[shardID] == nil) }
      for (shardID, lease) in leases where left[shardID]?.epoch != lease.epoch { lost[shardID] = lease.epoch }
      leases = left
      return nil
    case .initialized(_, let grant):
      // Who was granted the lease in what is lost may not know it yet. It was right then, and can write nothing now.
      if let lost = lost[grant.shardID], grant.epoch <= lost, leases[grant.shardID]?.epoch != grant.epoch {
        return nil
      }
      for parent in truth.shards[grant.shardID]?.parents ?? [] where !mayFollow(parent, truth) {
        return "\(grant.shardID) started before its parent \(parent) had ended"
      }
      return nil
    default:
      return nil
    }
  }

  private func mayFollow(_ parent: String, _ truth: StreamTruth) -> Bool {
    if ended.contains(parent) { return true }
    if leases[parent] != nil { return false }
    return truth.isRemoved(parent) || startsAtLatest
  }
}
