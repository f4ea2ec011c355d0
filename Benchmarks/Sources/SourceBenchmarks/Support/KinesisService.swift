import Foundation

/// Kinesis, whose records have numbers of 56 digits, data in base64 and arrival times with an exponent, as the service
/// writes them.
struct KinesisService: MeasuredService {
  /// Of each record.
  static let dataBytes = 200

  let recordsPerShard: Int
  let template: RecordsTemplate
  private let shards: Int

  init(_ load: ReadingLoad) {
    (shards, recordsPerShard) = (load.shards, load.recordsPerShard)
    template = RecordsTemplate(count: MeasuredStream.pageSize, numberLength: 56) { number in
      let data = Data((0..<Self.dataBytes).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()
      return #"{"SequenceNumber":"\#(number)","ApproximateArrivalTimestamp":1.764021600123E9,"#
        + #""Data":"\#(data)","PartitionKey":"\#(MeasuredStream.randomKey())","EncryptionType":"NONE"}"#
    }
  }

  func end(isLast: Bool) -> String { #","MillisBehindLatest":\#(isLast ? 0 : 5000)"# }

  func description(for operation: String) -> String? {
    switch operation {
    case "ListShards": listing()
    case "DescribeStreamSummary": Self.summary
    default: nil
    }
  }

  private func listing() -> String {
    let width = UInt128.max / UInt128(shards)
    let listed = (0..<shards).map { shard in
      let start = UInt128(shard) * width
      let end = shard == shards - 1 ? UInt128.max : start + width - 1
      return #"{"ShardId":"\#(MeasuredStream.shardID(shard))","#
        + #""HashKeyRange":{"StartingHashKey":"\#(start)","EndingHashKey":"\#(end)"},"#
        + #""SequenceNumberRange":{"StartingSequenceNumber":"\#(template.number(0, of: shard))"}}"#
    }
    return #"{"Shards":[\#(listed.joined(separator: ","))]}"#
  }

  private static let summary = """
    {"StreamDescriptionSummary":{"StreamName":"\(MeasuredStream.name)",\
    "StreamARN":"arn:aws:kinesis:eu-central-1:123456789012:stream/\(MeasuredStream.name)",\
    "StreamStatus":"ACTIVE","StreamCreationTimestamp":1.764000000E9}}
    """
}
