import Tidemark
import TidemarkTestKit

/// No plan gives a worker more leases than it takes: those that it owns and those that are on their way to it.
struct CapChecker: Checker {
  let name = "cap"
  private var caps: [WorkerIncarnation: Int] = [:]

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .registered(let incarnation, _, let maximum):
      caps[incarnation] = maximum
      return nil
    case .leasesChanged(let call, _, let after) where call.method == .plan:
      var counts: [WorkerIncarnation: Int] = [:]
      for lease in after.values {
        for holder in Set([lease.owner, lease.handoffTo].compactMap({ $0 })) {
          counts[holder, default: 0] += 1
        }
      }
      for (holder, count) in counts where count > caps[holder] ?? .max {
        return
          "\(call.member) planned \(count) leases for incarnation \(holder), which takes \(caps[holder] ?? 0)"
      }
      return nil
    default:
      return nil
    }
  }
}
