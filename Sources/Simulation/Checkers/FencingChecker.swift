import Tidemark
import TidemarkTestKit

/// S2: what an owner writes is accepted only under the present epoch, and only for what it owns. Nobody but the
/// owner or an operator moves a checkpoint.
struct FencingChecker: Checker {
  let name = "S2"

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    guard case .leasesChanged(let call, let before, let after) = observation else { return nil }
    for (key, lease) in after {
      guard let old = before[key], old != lease else { continue }
      if call.isOwnersWrite {
        // One call may carry a late write under an older grant beside one under the present.
        let grants = call.grants.filter { $0.key == key }
        if !grants.contains(where: { $0.owner == old.owner && $0.epoch == old.epoch }) {
          return "\(call.method) under \(grants) was accepted while \(key) stood at epoch \(old.epoch)"
        }
      } else if lease.checkpoint != old.checkpoint, call.method != .reset {
        return "\(call.method) moved the checkpoint of \(key)"
      }
    }
    return nil
  }
}
