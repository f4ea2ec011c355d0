import Tidemark

/// A worker whose lease is another's hands out no record and wakes no processor, unless by its own clock it could not know better: it has
/// an answered heartbeat that is younger than the failover interval without its margin.
struct TrustChecker: Checker {
  let name = "trust"
  private var leases: [LeaseKey: Lease] = [:]

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .leasesChanged(_, _, let after):
      leases = after
      return nil
    case .tailLost(let left, _):
      leases = left
      return nil
    case .batchBegan(let member, let grant, _, let isTrusted):
      return isCurrent(grant) || isTrusted ? nil : "\(member) hands out records under \(grant), which is over"
    case .callBegan(let member, let grant, .wokenUp, let isTrusted):
      return isCurrent(grant) || isTrusted
        ? nil : "\(member) wakes a processor under \(grant), which is over"
    default:
      return nil
    }
  }

  private func isCurrent(_ grant: LeaseGrant) -> Bool {
    let lease = leases[grant.key]
    return lease?.owner == grant.owner && lease?.epoch == grant.epoch
  }
}
