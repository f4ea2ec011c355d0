#if AWS
import Testing
import Tidemark

extension ExampleFleet {
  /// Expects that nothing was lost and each item's values came in order, and that only what the killed worker had printed
  /// and not checkpointed came twice.
  func expectOrder(killed: String) {
    let byItem = Dictionary(grouping: deliveries, by: \.item)
    #expect(byItem.count == itemCount)
    for (item, deliveries) in byItem {
      #expect(deliveries.map(\.value).uniqued == Array(0..<writtenCount), "\(item)")
    }
    for (shardID, deliveries) in Dictionary(grouping: deliveries, by: \.shardID) {
      let records = deliveries.filter { $0.worker == killed }
      let others = deliveries.filter { $0.worker != killed }.map(\.record)
      #expect(others.count == Set(others).count, "A worker that was not killed left a repeat in \(shardID)")
      // A batch is checkpointed before the next one is printed.
      let repeated = records.map(\.record).filter(Set(others).contains)
      #expect(repeated == records.suffix(repeated.count).map(\.record), "\(shardID)")
    }
  }

  /// Expects that every shard was begun after all its parents were handled.
  func expectLineage(_ shards: [Shard]) {
    #expect(Set(self.shards).isSubset(of: shards.map(\.id)))
    for shard in shards {
      guard let first = deliveries.firstIndex(where: { $0.shardID == shard.id }) else { continue }
      for parent in shard.parentIDs {
        let last = deliveries.lastIndex { $0.shardID == parent } ?? 0
        #expect(last <= first, "\(shard.id) was begun before its parent \(parent) was handled")
      }
    }
  }
}

extension ExampleFleet.Delivery {
  /// Which record it was, whoever handled it.
  struct RecordID: Hashable {
    var item: String
    var value: Int
  }

  var record: RecordID { RecordID(item: item, value: value) }

  /// Reads a line of the example. One that a killed worker began may stand before it.
  init?(_ line: Substring) {
    let parts = line.split(separator: "\t", omittingEmptySubsequences: false).suffix(4).map(String.init)
    guard parts.count == 4, let worker = parts[0].split(separator: "worker ").last,
      let value = parts[3].split(whereSeparator: { !$0.isNumber }).last.flatMap({ Int($0) })
    else { return nil }
    self.init(worker: String(worker), shardID: parts[1], item: parts[2], value: value)
  }
}

extension Array where Element: Hashable {
  /// Without what stands further in front already.
  var uniqued: [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
#endif
