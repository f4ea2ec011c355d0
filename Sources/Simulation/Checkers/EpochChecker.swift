import Tidemark
import TidemarkTestKit

/// S1: a lease has at most one owner per epoch. The epoch never falls, and rises exactly when ownership changes.
struct EpochChecker: Checker {
  let name = "S1"
  private var owners: [LeaseKey: [Int64: WorkerIncarnation?]] = [:]

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    guard case .leasesChanged(let call, let before, let after) = observation else { return nil }
    for (key, lease) in after {
      let owner = lease.owner
      if let known = owners[key]?[lease.epoch.number], known != owner {
        return "epoch \(lease.epoch) of \(key) has a second owner"
      }
      owners[key, default: [:]][lease.epoch.number] = .some(owner)
      guard let old = before[key] else { continue }
      if lease.epoch < old.epoch { return "the epoch of \(key) fell" }
      let isSame = lease.owner == old.owner
      if isSame, lease.epoch != old.epoch, call.method != .reset {
        return "the epoch of \(key) rose by \(call.method) although its owner stayed"
      }
      if !isSame, lease.epoch == old.epoch { return "\(key) changed its owner within an epoch" }
    }
    return nil
  }
}
