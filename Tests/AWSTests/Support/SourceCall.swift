#if AWS
import Synchronization
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// An operation of a service, asked for through a source as workers ask for it.
struct SourceCall: Sendable, CustomStringConvertible {
  /// A source that has come to the point at which the operation is next.
  final class Ready: Sendable {
    let faults: Faults
    let server: LoopbackServer
    let machine: TestMachine
    /// Goes on from there, once more after an error. Whether what came is what should.
    let goOn: @Sendable () async throws -> Bool

    init(
      _ faults: Faults,
      _ server: LoopbackServer,
      _ machine: TestMachine,
      goOn: @escaping @Sendable () async throws -> Bool
    ) {
      (self.faults, self.server, self.machine, self.goOn) = (faults, server, machine, goOn)
    }

    // There are hundreds of cases.
    deinit { server.close() }
  }

  var operation: String
  var service = "DynamoDB Streams"
  /// Looking for the children of a shard that has ended, which can do without the filter that it asks with.
  var hasFallback = false
  var prepare: @Sendable (@escaping @Sendable (inout AWSConfiguration) -> Void) async throws -> Ready

  var description: String { "\(operation) of \(service)\(hasFallback ? ", with a filter" : "")" }

  /// Whether it is about one shard, so that it may be the shard that is missing.
  var readsShard: Bool { operation.hasPrefix("Get") || operation == "SubscribeToShard" }
  var isOfDynamoDB: Bool { service == "DynamoDB Streams" }

  static let all = [
    dynamoDB("ListStreams", isTable: true) { reading in
      { try await reading.source.shards().count == 4 }
    },
    dynamoDB("DescribeStream") { reading in
      { try await reading.source.shards().count == 4 }
    },
    children,
    dynamoDB("GetShardIterator") { reading in
      let shard = try await reading.shard().id
      return {
        try await reading.source.reader(of: shard, after: .trimHorizon).values(3).values == [0, 1, 2]
      }
    },
    dynamoDB("GetRecords") { reading in
      let reader = try await reading.source.reader(of: reading.shard().id, after: .trimHorizon)
      _ = try await reader.nextPage(maximumRecords: 1)
      return { try await reader.values(2).values == [1, 2] }
    },
    kinesis("DescribeStreamSummary") { reading in
      { try await reading.source.streamName() == "\(KinesisReading.arn):1700000000" }
    },
    kinesis("ListShards") { reading in
      { try await reading.source.shards().map(\.id) == [KinesisReading.shardID] }
    },
    kinesis("GetShardIterator") { reading in
      { try await reading.reader().values(3).values == [0, 1, 2] }
    },
    kinesis("GetRecords") { reading in
      let reader = try await reading.reader()
      _ = try await reader.nextPage(maximumRecords: 1)
      return { try await reader.values(2).values == [1, 2] }
    },
  ]

  /// Also those whose answer is not one piece of JSON.
  static let allWithStreams =
    all + [
      kinesis("SubscribeToShard", .fanOut(consumerName: "billing")) { reading in
        { try await reading.reader().values(3).values == [0, 1, 2] }
      }
    ]

  private static let children = SourceCall(operation: "DescribeStream", hasFallback: true) { change in
    let reading = try await DynamoDBReading(.init(recordsPerShard: 3), change)
    reading.put(0..<3)
    let shard = try await reading.shard().id
    let reader = try await reading.source.reader(of: shard, after: .trimHorizon)
    return Ready(reading.fake.faults, reading.server, reading.machine) {
      let (values, end) = try await reader.values()
      return values == [0, 1, 2] && end?.children.map(\.parentIDs) == [[shard]]
    }
  }

  private static func dynamoDB(
    _ operation: String,
    isTable: Bool = false,
    _ goOn: @escaping @Sendable (DynamoDBReading) async throws -> @Sendable () async throws -> Bool
  ) -> SourceCall {
    SourceCall(operation: operation) { change in
      let name = isTable ? "orders" : "\(FakeDynamoDBStreams.table)/stream/2026-06-01T12:00:00.000"
      let reading = try await DynamoDBReading(name: name, change)
      reading.put(0..<3)
      return Ready(reading.fake.faults, reading.server, reading.machine, goOn: try await goOn(reading))
    }
  }

  private static func kinesis(
    _ operation: String,
    _ retrieval: KinesisRetrieval = .polling,
    _ goOn: @escaping @Sendable (KinesisReading) async throws -> @Sendable () async throws -> Bool
  ) -> SourceCall {
    SourceCall(operation: operation, service: "Kinesis") { change in
      let reading = try await KinesisReading(retrieval: retrieval, change)
      reading.put(0..<3)
      return Ready(reading.faults, reading.server, reading.machine, goOn: try await goOn(reading))
    }
  }
}
#endif
