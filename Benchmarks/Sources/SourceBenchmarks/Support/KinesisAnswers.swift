import BenchmarkSupport
import Foundation
import NIOCore

/// What a small Kinesis answers: one stream, whose shards all hold the same number of records and stay open.
struct KinesisAnswers: Sendable {
  /// What is read of a request.
  private struct Request: Decodable {
    var ShardId: String?
    var ShardIterator: String?
    var StartingSequenceNumber: String?
    var Limit: Int?
  }

  static let streamName = "measured"
  /// The most records of one answer.
  static let pageSize = 1000

  let shards: Int
  let recordsPerShard: Int
  private let template: RecordsTemplate
  private let decoder = JSONDecoder()

  init(shards: Int, recordsPerShard: Int, dataBytes: Int) {
    (self.shards, self.recordsPerShard) = (shards, recordsPerShard)
    template = RecordsTemplate(count: Self.pageSize, dataBytes: dataBytes)
  }

  /// - Parameter target: the operation with the service's prefix, as in `X-Amz-Target`.
  func answer(to target: String, _ body: ByteBuffer) throws -> ByteBuffer {
    let request = try decoder.decode(Request.self, from: Data(body.readableBytesView))
    switch target.split(separator: ".").last {
    case "GetRecords": return try records(request)
    case "GetShardIterator": return ByteBuffer(string: try iterator(request))
    case "ListShards": return ByteBuffer(string: listing())
    case "DescribeStreamSummary": return ByteBuffer(string: Self.summary)
    default: throw BenchmarkFailure("nobody needs \(target)")
    }
  }

  private func records(_ request: Request) throws -> ByteBuffer {
    guard let place = request.ShardIterator.flatMap(RecordsTemplate.place) else {
      throw BenchmarkFailure("this is no iterator")
    }
    let rest = recordsPerShard - place.position
    let count = min(request.Limit ?? Self.pageSize, Self.pageSize, rest)
    return template.answer(from: place.position, count: count, of: place.shard, isLast: count == rest)
  }

  private func iterator(_ request: Request) throws -> String {
    guard let shard = request.ShardId.flatMap({ Int($0.suffix(12)) }) else {
      throw BenchmarkFailure("this is no shard")
    }
    let position = request.StartingSequenceNumber.flatMap(RecordsTemplate.position) ?? 0
    return #"{"ShardIterator":"\#(RecordsTemplate.iterator(at: position, of: shard))"}"#
  }

  private func listing() -> String {
    let width = UInt128.max / UInt128(shards)
    let listed = (0..<shards).map { shard in
      let start = UInt128(shard) * width
      let end = shard == shards - 1 ? UInt128.max : start + width - 1
      return #"{"ShardId":"\#(Self.shardID(shard))","#
        + #""HashKeyRange":{"StartingHashKey":"\#(start)","EndingHashKey":"\#(end)"},"#
        + #""SequenceNumberRange":{"StartingSequenceNumber":"\#(RecordsTemplate.number(0, of: shard))"}}"#
    }
    return #"{"Shards":[\#(listed.joined(separator: ","))]}"#
  }

  private static func shardID(_ shard: Int) -> String {
    let digits = String(shard)
    return "shardId-" + String(repeating: "0", count: 12 - digits.count) + digits
  }

  private static let summary = """
    {"StreamDescriptionSummary":{"StreamName":"\(streamName)",\
    "StreamARN":"arn:aws:kinesis:eu-central-1:123456789012:stream/\(streamName)","StreamStatus":"ACTIVE",\
    "StreamCreationTimestamp":1.764000000E9}}
    """
}
