#if AWS
import Foundation
import Tidemark

/// Prints a line for each record: the worker, the shard, the partition key, and what the record holds.
struct RecordPrinter: RecordProcessor {
  var shard: ShardContext

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    let lines = batch.map { record in
      "worker \(shard.grant.owner)\t\(shard.shardID)\t\(record.partitionKey)\t\(Self.text(of: record))\n"
    }
    // `print` keeps lines back. What the checkpoint says is handled would be lost with them.
    try FileHandle.standardOutput.write(contentsOf: Data(lines.joined().utf8))
    try await checkpointer.checkpoint()
  }

  private static func text(of record: Record) -> String {
    switch record.body {
    case .change(let change): "\(change.eventName.rawValue) \(change.newImage ?? change.keys)"
    case .data(let data): String(decoding: data, as: UTF8.self)
    }
  }
}
#endif
