import Tidemark

/// S7: the records of one item, and those of one shard, are attempted in order. A redelivery may go back, none may
/// skip ahead of what is not handled.
struct OrderChecker: Checker {
  let name = "S7"
  private let startsAtLatest: Bool

  init(_ scenario: Scenario) {
    startsAtLatest = scenario.startsAtLatest
  }

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    guard case .attempted(let member, let grant, let index) = observation else { return nil }
    let record = truth.records[index]
    if record.shard != grant.key { return "\(member) was given a record of another shard" }
    for previous in [record.previousOfItem, record.previousOfShard].compactMap({ $0 })
    where !truth.records[previous].wasSettled && !isNobodysToRead(truth.records[previous], truth) {
      return "\(member) attempts record \(record.sequence) of \(record.shard) before record "
        + "\(truth.records[previous].sequence) of \(truth.records[previous].shard) is handled"
    }
    return nil
  }

  /// At LATEST, a shard that was closed before anybody came never has a lease.
  private func isNobodysToRead(_ record: StreamTruth.Record, _ truth: StreamTruth) -> Bool {
    startsAtLatest && !truth.leased.contains(record.shard)
  }
}
