#if AWS
import Foundation
import NIOHTTP1
import Synchronization
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// A Kinesis stream of one open shard behind a server, with a source that reads it: for what moto does not do, which is
/// to fail. Written from Kinesis' API reference.
struct KinesisReading {
  static let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
  static let shardID = "shardId-000000000000"

  let machine = TestMachine()
  let faults = Faults()
  let server: LoopbackServer
  let source: KinesisSource
  private let shard = FakeKinesisShard()

  init(
    environment: AWSEnvironment? = nil,
    retrieval: KinesisRetrieval = .polling,
    _ change: (inout AWSConfiguration) -> Void = { _ in }
  ) async throws {
    let (shard, faults) = (shard, faults)
    server = try await LoopbackServer { faults.reply(to: $0) ?? shard.reply(to: $0) }
    var configuration = AWSConfiguration(endpoint: server.url)
    configuration.retry.maximumAttempts = 3
    change(&configuration)
    source = try KinesisSource(
      "orders",
      configuration: configuration,
      retrieval: retrieval,
      environment: environment ?? machine.environment(),
      logger: machine.logger
    )
  }

  func put(_ values: Range<Int>) { for value in values { put(data: Array("\(value)".utf8)) } }
  func put(data: [UInt8], key: String = "k") { shard.records.withLock { $0.append((data, key)) } }

  /// The ranges that listings say the shard has, which is all hash keys at first, and the one that it comes from.
  func list(_ range: Shard.HashRange, parent: Shard.HashRange? = nil) {
    shard.hashRanges.withLock { $0 = (range, parent) }
  }

  /// The stream is deleted and created again under its name, without records.
  func createAgain() {
    shard.records.withLock { $0 = [] }
    shard.creation.withLock { $0 += 1 }
  }

  func reader(after checkpoint: Checkpoint = .trimHorizon) async throws -> any ShardReader {
    try await source.reader(of: Self.shardID, after: checkpoint)
  }
}

private final class FakeKinesisShard: Sendable {
  private struct Call: Decodable {
    struct Position: Decodable {
      var `Type`: String
      var SequenceNumber: String?
    }
    var ShardIteratorType: String?
    var StartingSequenceNumber: String?
    var ShardIterator: String?
    var Limit: Int?
    var StartingPosition: Position?
  }

  /// A record's sequence number is its index and this.
  private static let firstNumber = 1000

  let records = Mutex<[(data: [UInt8], key: String)]>([])
  let hashRanges = Mutex<(own: Shard.HashRange, parent: Shard.HashRange?)>((.all, nil))
  let creation = Mutex(1_700_000_000)

  func reply(to request: ReceivedRequest) -> Reply {
    guard let call = try? JSONDecoder().decode(Call.self, from: Data(request.body.utf8)) else {
      return .failing("SerializationException")
    }
    switch request.operation {
    case "DescribeStreamSummary":
      let time = creation.withLock { $0 }
      return .json(
        #"{"StreamDescriptionSummary":{"StreamARN":"\#(KinesisReading.arn)","StreamCreationTimestamp":\#(time)}}"#
      )
    case "ListShards":
      let (own, parent) = hashRanges.withLock { $0 }
      var shards = [listing(KinesisReading.shardID, own, parentID: parent == nil ? "" : "shardId-parent")]
      if let parent { shards.append(listing("shardId-parent", parent)) }
      return .json(#"{"Shards":[\#(shards.joined(separator: ","))]}"#)
    case "GetShardIterator":
      guard let start = start(call.ShardIteratorType, call.StartingSequenceNumber) else { break }
      return .json(#"{"ShardIterator":"\#(start)"}"#)
    case "GetRecords":
      guard let start = call.ShardIterator.flatMap({ Int($0) }), let limit = call.Limit else { break }
      return records(from: start, limit).map { .json($0) } ?? .failing("InvalidArgumentException")
    case "DescribeStreamConsumer":
      let arn = "\(KinesisReading.arn)/consumer/billing:1700000000"
      return .json(#"{"ConsumerDescription":{"ConsumerARN":"\#(arn)","ConsumerStatus":"ACTIVE"}}"#)
    case "SubscribeToShard":
      let position = call.StartingPosition
      guard let start = start(position?.Type, position?.SequenceNumber),
        let event = records(from: start, 1000)
      else { break }
      return .pushing(event)
    default: return .failing("UnknownOperationException")
    }
    return .failing("InvalidArgumentException")
  }

  private func listing(_ id: String, _ range: Shard.HashRange, parentID: String = "") -> String {
    let parent = parentID.isEmpty ? "" : #""ParentShardId":"\#(parentID)","#
    return """
      {"ShardId":"\(id)",\(parent)"SequenceNumberRange":{"StartingSequenceNumber":"1"},\
      "HashKeyRange":{"StartingHashKey":"\(range.start)","EndingHashKey":"\(range.end)"}}
      """
  }

  /// The index of the first record.
  private func start(_ type: String?, _ number: String?) -> Int? {
    switch (type, number) {
    case ("TRIM_HORIZON", nil), ("AT_TIMESTAMP", nil): 0
    case ("LATEST", nil): records.withLock { $0.count }
    case ("AT_SEQUENCE_NUMBER", let number?): Int(number).map { $0 - Self.firstNumber }
    case ("AFTER_SEQUENCE_NUMBER", let number?): Int(number).map { $0 - Self.firstNumber + 1 }
    default: nil
    }
  }

  /// What a read and an event have in common, and what only one of them has, which the other's reader leaves aside.
  private func records(from start: Int, _ limit: Int) -> String? {
    let all = self.records.withLock { $0 }
    guard start <= all.count else { return nil }
    let end = min(all.count, start + limit)
    let records = (start..<end).map { index in
      """
      {"SequenceNumber":"\(Self.firstNumber + index)","ApproximateArrivalTimestamp":1780315199.123,\
      "Data":"\(Data(all[index].data).base64EncodedString())","PartitionKey":"\(all[index].key)"}
      """
    }
    return """
      {"Records":[\(records.joined(separator: ","))],"MillisBehindLatest":\(end < all.count ? 1 : 0),\
      "NextShardIterator":"\(end)","ContinuationSequenceNumber":"\(Self.firstNumber + end - 1)"}
      """
  }
}

extension Reply {
  /// A subscription with one event.
  fileprivate static func pushing(_ event: String) -> Reply {
    let start = eventStreamFrame([":message-type": "event", ":event-type": "initial-response"], "{}")
    let headers: KeyValuePairs = [
      ":message-type": "event", ":event-type": "SubscribeToShardEvent", ":content-type": "application/json",
    ]
    return Reply(
      bytes: start + eventStreamFrame(headers, event),
      headers: ["Content-Type": "application/vnd.amazon.eventstream"]
    )
  }
}
#endif
