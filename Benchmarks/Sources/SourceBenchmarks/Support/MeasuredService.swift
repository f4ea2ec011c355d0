import BenchmarkSupport
import Foundation
import NIOCore

/// What a small service answers: one stream, whose shards all hold the same number of records and stay open.
protocol MeasuredService: Sendable {
  var recordsPerShard: Int { get }
  var template: RecordsTemplate { get }

  /// What comes after the iterator of an answer with records.
  func end(isLast: Bool) -> String
  /// The answer to an operation that not every service has; `nil` if it has none of that name.
  func description(for operation: String) -> String?
}

/// What is read of a request.
private struct Request: Decodable {
  var ShardId: String?
  var ShardIterator: String?
  /// Of Kinesis.
  var StartingSequenceNumber: String?
  var Limit: Int?
}

extension MeasuredService {
  /// - Parameter target: the operation with the service's prefix, as in `X-Amz-Target`.
  func answer(to target: String, _ body: ByteBuffer) throws -> ByteBuffer {
    let request = try JSONDecoder().decode(Request.self, from: Data(body.readableBytesView))
    let operation = target.split(separator: ".").last.map(String.init) ?? ""
    switch operation {
    case "GetRecords": return try records(request)
    case "GetShardIterator": return ByteBuffer(string: try iterator(request))
    default:
      guard let text = description(for: operation) else { throw BenchmarkFailure("nobody needs \(target)") }
      return ByteBuffer(string: text)
    }
  }

  private func records(_ request: Request) throws -> ByteBuffer {
    guard let place = request.ShardIterator.flatMap(RecordsTemplate.place) else {
      throw BenchmarkFailure("this is no iterator")
    }
    let rest = recordsPerShard - place.position
    let count = min(request.Limit ?? MeasuredStream.pageSize, MeasuredStream.pageSize, rest)
    let end = end(isLast: count == rest)
    return template.answer(from: place.position, count: count, of: place.shard, end: end)
  }

  private func iterator(_ request: Request) throws -> String {
    guard let shard = request.ShardId.flatMap(MeasuredStream.shard) else {
      throw BenchmarkFailure("this is no shard")
    }
    let position = request.StartingSequenceNumber.flatMap(RecordsTemplate.position) ?? 0
    return #"{"ShardIterator":"\#(RecordsTemplate.iterator(at: position, of: shard))"}"#
  }
}

/// What the services and their readers agree on.
enum MeasuredStream {
  static let name = "measured"
  static let dynamoDBARN =
    "arn:aws:dynamodb:eu-central-1:123456789012:table/\(name)/stream/2025-11-24T22:00:00.000"
  /// The most records of one answer.
  static let pageSize = 1000

  static func shardID(_ shard: Int) -> String { "shardId-" + padded(String(shard), to: 20) }

  static func shard(of id: String) -> Int? { Int(id.suffix(20)) }

  static func padded(_ digits: String, to length: Int) -> String {
    String(repeating: "0", count: length - digits.count) + digits
  }

  /// The same number of random digits each time.
  static func randomKey() -> String { padded(String(UInt64.random(in: .min ... .max), radix: 16), to: 16) }
}
