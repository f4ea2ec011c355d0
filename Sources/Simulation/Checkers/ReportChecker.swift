import Tidemark
import TidemarkTestKit

/// What a worker reports of a lease's end is what happened: one that it gave up itself was not lost. A worker that
/// leaves before it was answered cannot know.
struct ReportChecker: Checker {
  let name = "report"
  private var leases: [LeaseKey: Lease] = [:]
  /// What was given up, and the epoch that followed.
  private var givenUp: [LeaseGrant: Epoch] = [:]
  /// Of these the processor has lost the lease, although its own worker gave it up.
  private var givenAway: Set<LeaseGrant> = []

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .leasesChanged(let call, let before, let after):
      leases = after
      for grant in call.grants where [.transfer, .endShard, .stop].contains(call.method) {
        guard
          let (old, new) = before[grant.key].flatMap({ old in after[grant.key].map { (old, $0) } }),
          old.owner == grant.owner, old.epoch == grant.epoch, new.epoch > old.epoch
        else { continue }
        givenUp[grant] = new.epoch
      }
      return nil
    case .workerDied(let incarnation, _, _), .deregistered(let incarnation, _):
      // To the dead every write is refused, also a repeated one.
      givenUp = givenUp.filter { $0.key.owner != incarnation }
      return nil
    case .tailLost(let left, _):
      leases = left
      givenUp = [:]
      return nil
    case .givenAway(_, let grant):
      givenAway.insert(grant)
      return nil
    case .leaseEnded(let member, let grant, .lost, isLeaving: false):
      // Once somebody else has moved on, a repeated write cannot be told from one that came too late.
      let isRecognisable = leases[grant.key]?.epoch == givenUp[grant]
      guard givenUp[grant] != nil, !givenAway.contains(grant), isRecognisable else { return nil }
      return "\(member) reports \(grant) as lost, which it gave up itself"
    default:
      return nil
    }
  }
}
