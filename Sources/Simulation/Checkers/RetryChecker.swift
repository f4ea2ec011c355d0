import Tidemark
import TidemarkTestKit

/// S8: a record is retried no more often than configured, and an exhausted one is in the dead-letter queue exactly
/// once.
struct RetryChecker: Checker {
  private struct Attempt: Hashable {
    var grant: LeaseGrant
    var head: Int
  }

  let name = "S8"
  private let policy: FailurePolicy
  private let batchSize: Int
  private var failures: [Attempt: Int] = [:]
  private var lettersBy: [Int: LeaseGrant] = [:]

  init(_ scenario: Scenario) {
    policy = scenario.configurations[0].failurePolicy
    batchSize = scenario.configurations.map(\.reading.maximumRecords).max() ?? 1
  }

  /// Halving gives a record in ever smaller batches, which does not count.
  private var halvings: Int { policy.bisectsBatch ? batchSize.bitWidth - batchSize.leadingZeroBitCount : 0 }

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .failed(_, let grant, let head):
      let attempt = Attempt(grant: grant, head: head)
      failures[attempt, default: 0] += 1
      guard let maximum = policy.maximumAttempts, failures[attempt, default: 0] > maximum + halvings else {
        return nil
      }
      return
        "record \(truth.records[head].sequence) was tried \(failures[attempt, default: 0]) times under one "
        + "grant, \(maximum) are allowed"
    case .leasesChanged(let call, let before, let after) where call.method == .reset:
      // What is read again may be dead-lettered again.
      let wasReset = after.keys.filter { before[$0]?.epoch != after[$0]?.epoch }
      lettersBy = lettersBy.filter { !wasReset.contains($0.value.key) }
      return nil
    case .tailLost(let leases, let letters):
      // What is gone from the queue may come again, and so may one whose lease has not passed it any more: the letter
      // that is left is from before an operator's reset.
      lettersBy = lettersBy.filter { index, grant in
        let place = Checkpoint.record(SequenceNumber(truth.records[index].sequence))
        return letters.contains(index) && leases[grant.key].map { $0.checkpoint >= place } ?? false
      }
      return nil
    case .deadLettered(let grant, let records):
      for index in records {
        if policy.maximumAttempts == nil || policy.whenExhausted == .stop {
          return "record \(truth.records[index].sequence) was dead-lettered against the policy"
        }
        if let other = lettersBy[index], other != grant {
          return "record \(truth.records[index].sequence) was dead-lettered twice"
        }
        lettersBy[index] = grant
      }
      return nil
    default:
      return nil
    }
  }
}
