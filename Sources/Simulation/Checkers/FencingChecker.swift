import Tidemark
import TidemarkTestKit

/// S2: what an owner writes is accepted only under the present epoch, and only for what it owns. Nobody but the
/// owner or an operator moves a checkpoint.
struct FencingChecker: Checker {
  let name = "S2"

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    guard case .leasesChanged(let call, let before, let after) = observation else { return nil }
    for (shardID, lease) in after {
      guard let old = before[shardID], old != lease else { continue }
      if call.isOwnersWrite {
        guard let grant = call.grants.first(where: { $0.shardID == shardID }) else {
          return "\(call.method) changed \(shardID), which it was not granted"
        }
        if old.owner != grant.owner || old.epoch != grant.epoch {
          return "\(call.method) under \(grant) was accepted while \(shardID) stood at epoch \(old.epoch)"
        }
      } else if lease.checkpoint != old.checkpoint, call.method != .reset {
        return "\(call.method) moved the checkpoint of \(shardID)"
      }
    }
    return nil
  }
}
