#if AWS
import Foundation
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("A fleet over Kinesis", .sharesMachine)
struct KinesisFleetTests {
  @Test(
    """
    of three processes loses nothing, keeps each key's order and reads parents first while shards are split and merged; \
    one that leaves has nothing repeated, and one that is killed no more than it had not checkpointed
    """
  )
  func processes() async throws {
    let moto = try await Emulator(.moto)
    let client = try moto.client()
    struct Creation: Encodable { var StreamName = "clicks", ShardCount = 2 }
    _ = try await client.send("CreateStream", to: .kinesis, Creation())
    let keys = (0..<20).map { "key \($0)" }
    let fleet = try await ExampleFleet(reading: "kinesis:clicks", at: moto.url, itemCount: keys.count) {
      try await put($0, keys, client)
    }
    let killed = try await fleet.join()
    try await split("shardId-000000000000", at: UInt128.max / 4, client)
    let leaving = try await fleet.join()
    let staying = try await fleet.join()
    try await split("shardId-000000000001", at: UInt128.max / 4 * 3, client)
    try leaving.send(.terminate)
    try await fleet.writeUntil("a worker leaves") { leaving.exitStatus != nil }
    try await merge("shardId-000000000003", "shardId-000000000004", client)
    try await fleet.kill(killed, fleet.workers[0])
    // Two, four from splits, one from the merge.
    try await fleet.writeUntil("all shards are read") { fleet.shards.count == 7 }
    try await fleet.waitUntilAllIsHandled()
    try staying.send(.terminate)
    try await eventually("the last worker leaves") { staying.exitStatus != nil }

    #expect([killed, leaving, staying].map(\.exitStatus) == [128 + SIGKILL, 0, 0], "\(fleet.log)")
    #expect(fleet.workers.count == 3)
    fleet.expectOrder(killed: fleet.workers[0])
    let source = try KinesisSource("clicks", configuration: moto.configuration)
    let shards = try await source.shards()
    fleet.expectLineage(shards)
    #expect(
      shards.map(\.parentIDs).filter { $0.count == 2 } == [["shardId-000000000003", "shardId-000000000004"]]
    )
  }

  @Test("reading at LATEST keeps its place: what comes before the first checkpoint is not skipped")
  func latest() async throws {
    let moto = try await Emulator(.moto)
    let client = try moto.client()
    struct Creation: Encodable { var StreamName = "clicks", ShardCount = 1 }
    _ = try await client.send("CreateStream", to: .kinesis, Creation())
    let source = try KinesisSource("clicks", configuration: moto.configuration)
    let log = DeliveredValues { record in
      (record.partitionKey, Int(String(decoding: record.data ?? [], as: UTF8.self)) ?? -1)
    }
    try await log.takeOverAtLatest(of: source, handling: 3) {
      for value in 0..<3 { try await put(value, ["a"], client) }
    }
    #expect(log.values(of: "a") == [0, 1, 2])
  }

  private func put(_ value: Int, _ keys: [String], _ client: AWSClient) async throws {
    struct Entry: Encodable { var PartitionKey: String, Data: Data }
    struct Input: Encodable { var StreamName = "clicks", Records: [Entry] }
    let records = keys.map { Entry(PartitionKey: $0, Data: Data("\(value)".utf8)) }
    _ = try await client.send("PutRecords", to: .kinesis, Input(Records: records))
  }

  private func split(_ shard: String, at hash: UInt128, _ client: AWSClient) async throws {
    struct Input: Encodable { var StreamName = "clicks", ShardToSplit: String, NewStartingHashKey: String }
    let input = Input(ShardToSplit: shard, NewStartingHashKey: "\(hash)")
    _ = try await client.send("SplitShard", to: .kinesis, input)
  }

  private func merge(_ shard: String, _ adjacent: String, _ client: AWSClient) async throws {
    struct Input: Encodable { var StreamName = "clicks", ShardToMerge: String, AdjacentShardToMerge: String }
    let input = Input(ShardToMerge: shard, AdjacentShardToMerge: adjacent)
    _ = try await client.send("MergeShards", to: .kinesis, input)
  }
}
#endif
