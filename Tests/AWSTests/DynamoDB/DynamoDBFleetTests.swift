import ServiceLifecycle
import TestSupport
import Testing
import Tidemark

@testable import TidemarkAWS

@Suite("A fleet over DynamoDB Streams", .sharesMachine)
struct DynamoDBFleetTests {
  @Test(
    """
    loses nothing, repeats nothing and keeps each item's order while shards rotate and split, workers come and go, and \
    the table has a new stream
    """
  )
  func fleet() async throws {
    let reading = try await DynamoDBReading(
      .init(recordsPerShard: 40, callsWithoutChildren: 1, hasEmptyPages: true),
      environment: AWSEnvironment(),
      pollInterval: .milliseconds(50)
    )
    let (items, rounds) = ((0..<20).map { "item \($0)" }, 60)
    let log = DeliveredValues { record in
      guard let item = try record.change?.keys(as: [String: String].self)["id"] else { return nil }
      return (item, try record.value)
    }
    let workers = try await log.workers(3, of: reading.source)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for worker in workers[..<2] { tasks.addTask { try await worker.run() } }
      for round in 0..<rounds {
        switch round {
        case 10: tasks.addTask { try await workers[2].run() }
        case 20: reading.fake.change { $0.rotateAll(splits: true) }
        case 30: await workers[0].triggerGracefulShutdown()
        case 40:
          reading.fake.change {
            $0.disable()
            $0.enable()
          }
        default: break
        }
        reading.fake.change { table in for item in items { table.put(item, round) } }
        try await eventually(within: .seconds(60), "half of it is handled") {
          log.count >= round * items.count / 2
        }
      }
      try await eventually(within: .seconds(60), "all of it is handled") {
        log.count >= rounds * items.count
      }
      for worker in workers { await worker.triggerGracefulShutdown() }
      try await tasks.waitForAll()
    }
    for item in items { #expect(log.values(of: item) == Array(0..<rounds)) }
    #expect(log.shardCount > 30)
  }

  @Test("reading at LATEST keeps its place: what comes before the first checkpoint is not skipped")
  func latest() async throws {
    let reading = try await DynamoDBReading(
      environment: AWSEnvironment(),
      pollInterval: .milliseconds(50)
    )
    let log = DeliveredValues { ($0.partitionKey, try $0.value) }
    try await log.takeOverAtLatest(of: reading.source, handling: 3) { reading.put(0..<3) }
    #expect(log.values == [0, 1, 2])
  }
}
