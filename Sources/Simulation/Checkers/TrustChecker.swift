import Tidemark

/// A worker whose lease is another's hands out no record, unless by its own clock it could not know better: it has
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
      let lease = leases[grant.key]
      let isCurrent = lease?.owner == grant.owner && lease?.epoch == grant.epoch
      return isCurrent || isTrusted ? nil : "\(member) hands out records under \(grant), which is over"
    default:
      return nil
    }
  }
}
