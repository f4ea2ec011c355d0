import Foundation
import Synchronization
import Tidemark

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
    pollInterval: Duration = .seconds(1),
    _ change: (inout AWSConfiguration) -> Void = { _ in }
  ) async throws {
    let (shard, faults) = (shard, faults)
    server = try await LoopbackServer { faults.reply(to: $0) ?? shard.reply(to: $0) }
    var configuration = AWSConfiguration()
    configuration.endpoint.url = server.url
    configuration.endpoint.region = "eu-central-1"
    configuration.retry.maximumAttempts = 3
    configuration.credentials.provider = StaticCredentialsProvider(
      AWSCredentials(accessKeyID: "AKID", secretAccessKey: "SECRET")
    )
    change(&configuration)
    source = try KinesisSource(
      "orders",
      configuration: configuration,
      pollInterval: pollInterval,
      environment: environment ?? machine.environment(),
      logger: machine.logger
    )
  }

  func put(_ values: Range<Int>) { shard.values.withLock { $0 += values } }

  /// The stream is deleted and created again under its name, without records.
  func createAgain() {
    shard.values.withLock { $0 = [] }
    shard.creation.withLock { $0 += 1 }
  }

  func reader(after checkpoint: Checkpoint = .trimHorizon) async throws -> any ShardReader {
    try await source.reader(of: Self.shardID, after: checkpoint)
  }
}

private final class FakeKinesisShard: Sendable {
  private struct Call: Decodable {
    var ShardIteratorType: String?
    var StartingSequenceNumber: String?
    var ShardIterator: String?
    var Limit: Int?
  }

  /// A record's sequence number is its index and this.
  private static let firstNumber = 1000

  let values = Mutex<[Int]>([])
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
      return .json(
        """
        {"Shards":[{"ShardId":"\(KinesisReading.shardID)","SequenceNumberRange":{"StartingSequenceNumber":"1"},\
        "HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"\(UInt128.max)"}}]}
        """
      )
    case "GetShardIterator": return iterator(call)
    case "GetRecords": return records(call)
    default: return .failing("UnknownOperationException")
    }
  }

  private func iterator(_ call: Call) -> Reply {
    let count = values.withLock { $0.count }
    switch (call.ShardIteratorType, call.StartingSequenceNumber) {
    case ("TRIM_HORIZON", nil), ("AT_TIMESTAMP", nil): return .json(#"{"ShardIterator":"0"}"#)
    case ("LATEST", nil): return .json(#"{"ShardIterator":"\#(count)"}"#)
    case ("AT_SEQUENCE_NUMBER", let number?):
      return .json(#"{"ShardIterator":"\#((Int(number) ?? 0) - Self.firstNumber)"}"#)
    default: return .failing("InvalidArgumentException")
    }
  }

  private func records(_ call: Call) -> Reply {
    let values = values.withLock { $0 }
    guard let start = call.ShardIterator.flatMap({ Int($0) }), let limit = call.Limit, start <= values.count
    else {
      return .failing("InvalidArgumentException")
    }
    let end = min(values.count, start + limit)
    let records = (start..<end).map { index in
      """
      {"SequenceNumber":"\(Self.firstNumber + index)","ApproximateArrivalTimestamp":1780315199.123,\
      "Data":"\(Data("\(values[index])".utf8).base64EncodedString())","PartitionKey":"k"}
      """
    }
    return .json(
      """
      {"Records":[\(records.joined(separator: ","))],"NextShardIterator":"\(end)",\
      "MillisBehindLatest":\(end < values.count ? 1 : 0)}
      """
    )
  }
}
