#if AWS
import Foundation
import ServiceLifecycle
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("A fleet over Kinesis with enhanced fan-out", .sharesMachine)
struct FanOutFleetTests {
  @Test(
    "a fleet loses nothing, repeats nothing and keeps each key's order while workers take each other's subscriptions over"
  )
  func fleet() async throws {
    let ministack = try await Emulator(.ministack)
    let client = try ministack.client()
    try await client.sendJSON("CreateStream", to: .kinesis, #"{"StreamName":"clicks","ShardCount":4}"#)
    let source = try KinesisSource(
      "clicks",
      configuration: ministack.configuration,
      retrieval: .fanOut(consumerName: "fleet")
    )
    let (keys, rounds) = ((0..<20).map { "key \($0)" }, 30)
    let log = DeliveredValues { record in
      guard let value = record.data.flatMap({ Int(String(decoding: $0, as: UTF8.self)) }) else { return nil }
      return (record.partitionKey, value)
    }
    let workers = try await log.workers(3, of: source)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for worker in workers[..<2] { tasks.addTask { try await worker.run() } }
      for round in 0..<rounds {
        switch round {
        case 10: tasks.addTask { try await workers[2].run() }
        case 20: await workers[0].triggerGracefulShutdown()
        default: break
        }
        try await put(round, keys, client)
        try await eventually("all but a few rounds are handled") {
          log.count >= (round - 3) * keys.count
        }
      }
      try await eventually("all of it is handled") { log.count >= rounds * keys.count }
      for worker in workers { await worker.triggerGracefulShutdown() }
      try await tasks.waitForAll()
    }
    for key in keys { #expect(log.values(of: key) == Array(0..<rounds)) }
    #expect(log.shardCount == 4)
  }

  private func put(_ value: Int, _ keys: [String], _ client: AWSClient) async throws {
    struct Entry: Encodable { var PartitionKey: String, Data: Data }
    struct Input: Encodable { var StreamName = "clicks", Records: [Entry] }
    let records = keys.map { Entry(PartitionKey: $0, Data: Data("\(value)".utf8)) }
    _ = try await client.send("PutRecords", to: .kinesis, Input(Records: records))
  }
}
#endif
