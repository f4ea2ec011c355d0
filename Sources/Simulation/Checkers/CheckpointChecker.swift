import Tidemark
import TidemarkTestKit

/// S3, S4, S6: a checkpoint never goes back except by an operator, passes nothing that is not handled or
/// dead-lettered, and becomes `SHARD_END` only when the whole shard is.
struct CheckpointChecker: Checker {
  let name = "S3, S4, S6"
  /// The shards whose processor has said that it is done with them.
  private var finished: Set<LeaseGrant> = []

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    switch observation {
    case .shardEndHandled(_, let grant):
      finished.insert(grant)
      return nil
    case .leasesChanged(let call, let before, let after):
      for (key, lease) in after {
        guard let old = before[key], old.checkpoint != lease.checkpoint, call.method != .reset else {
          continue
        }
        if let what = check(key, from: old, to: lease, truth) { return what }
      }
      return nil
    default:
      return nil
    }
  }

  private func check(_ key: LeaseKey, from old: Lease, to new: Lease, _ truth: StreamTruth) -> String? {
    switch (old.checkpoint, new.checkpoint) {
    case (.shardEnd, _):
      return "\(key) left SHARD_END"
    case (_, .shardEnd):
      guard truth.shards[key]?.isClosed == true else {
        return "\(key) is at SHARD_END and still open"
      }
      if let record = truth.firstUnsettled(in: key, through: .max) {
        return "\(key) is at SHARD_END although record \(record.sequence) is not handled"
      }
      if truth.isRemoved(key) || finished.contains(where: { $0.key == key }) { return nil }
      return "\(key) is at SHARD_END although no processor has said that it has ended"
    case (.latest, .record(let number, _)):
      // The place that LATEST meant.
      truth.excuse(key, through: number.uint64Value ?? 0)
      return nil
    case (let from, .record(let number, _)):
      if case .record(let earlier, _) = from, number < earlier {
        return "the checkpoint of \(key) went back from \(earlier) to \(number)"
      }
      if let record = truth.firstUnsettled(in: key, through: number.uint64Value ?? 0) {
        return "the checkpoint of \(key) is \(number) although record \(record.sequence) is not handled"
      }
      return nil
    default:
      return "the checkpoint of \(key) went from \(old.checkpoint) to \(new.checkpoint)"
    }
  }
}
