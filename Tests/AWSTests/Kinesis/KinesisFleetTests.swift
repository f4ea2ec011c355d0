import Foundation
import ServiceLifecycle
import TestSupport
import Testing
import Tidemark

@testable import TidemarkAWS

@Suite("A fleet over Kinesis", .sharesMachine)
struct KinesisFleetTests {
  @Test(
    "loses nothing, repeats nothing and keeps each key's order while shards are split and merged, and workers come and go"
  )
  func fleet() async throws {
    let moto = try await Moto()
    let client = try moto.client()
    struct Creation: Encodable { var StreamName = "clicks", ShardCount = 2 }
    _ = try await client.send("CreateStream", to: .kinesis, Creation())
    let source = try KinesisSource(
      "clicks",
      configuration: moto.configuration,
      pollInterval: .milliseconds(200)
    )
    let (keys, rounds) = ((0..<20).map { "key \($0)" }, 40)
    let log = DeliveredValues { record in
      guard let value = record.data.flatMap({ Int(String(decoding: $0, as: UTF8.self)) }) else { return nil }
      return (record.partitionKey, value)
    }
    let workers = try await log.workers(3, of: source)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for worker in workers[..<2] { tasks.addTask { try await worker.run() } }
      for round in 0..<rounds {
        switch round {
        case 5: try await split("shardId-000000000000", at: UInt128.max / 4, client)
        case 10: tasks.addTask { try await workers[2].run() }
        case 15: try await split("shardId-000000000001", at: UInt128.max / 4 * 3, client)
        case 20: await workers[0].triggerGracefulShutdown()
        case 25: try await merge("shardId-000000000003", "shardId-000000000004", client)
        default: break
        }
        try await put(round, keys, client)
        try await eventually(within: .seconds(60), "half of it is handled") {
          log.count >= round * keys.count / 2
        }
      }
      try await eventually(within: .seconds(60), "all of it is handled") { log.count >= rounds * keys.count }
      for worker in workers { await worker.triggerGracefulShutdown() }
      try await tasks.waitForAll()
    }
    for key in keys { #expect(log.values(of: key) == Array(0..<rounds)) }
    // Two, four from splits, one from the merge.
    #expect(log.shardCount == 7)
    let merged = try await source.shards().filter { $0.parentIDs.count == 2 }
    #expect(merged.map(\.parentIDs) == [["shardId-000000000003", "shardId-000000000004"]])
  }

  @Test("reading at LATEST keeps its place: what comes before the first checkpoint is not skipped")
  func latest() async throws {
    let moto = try await Moto()
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
    #expect(log.values == [0, 1, 2])
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
