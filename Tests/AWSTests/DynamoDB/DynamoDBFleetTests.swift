#if AWS
import Foundation
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("A fleet over DynamoDB Streams", .sharesMachine)
struct DynamoDBFleetTests {
  @Test(
    """
    of three processes loses nothing, keeps each item's order and reads parents first while shards rotate and split, and \
    the table has a new stream; one that leaves has nothing repeated, and one that is killed no more than it had not \
    checkpointed
    """
  )
  func processes() async throws {
    let reading = try await DynamoDBReading(
      .init(recordsPerShard: 100, callsWithoutChildren: 1, hasEmptyPages: true),
      environment: AWSEnvironment()
    )
    let items = (0..<20).map { "item \($0)" }
    let fleet = try await ExampleFleet(
      reading: "dynamodb:orders",
      at: reading.server.url,
      itemCount: items.count
    ) { value in
      reading.fake.change { table in for item in items { table.put(item, value) } }
    }
    let killed = try await fleet.join()
    let leaving = try await fleet.join()
    let staying = try await fleet.join()
    reading.fake.change { $0.rotateAll(splits: true) }
    try leaving.send(.terminate)
    try await fleet.writeUntil("a worker leaves") { leaving.exitStatus != nil }
    reading.fake.change { $0.rotateAll() }
    try await fleet.kill(killed, fleet.workers[0])
    let shardCount = fleet.shards.count
    try await fleet.writeUntil("later shards are read") { fleet.shards.count >= shardCount + 16 }
    reading.fake.change {
      $0.disable()
      $0.enable()
    }
    let before = fleet.shards.count
    try await fleet.writeUntil("the new stream is read") { fleet.shards.count >= before + 4 }
    try await fleet.waitUntilAllIsHandled()
    try staying.send(.terminate)
    try await eventually("the last worker leaves") { staying.exitStatus != nil }

    #expect([killed, leaving, staying].map(\.exitStatus) == [128 + SIGKILL, 0, 0], "\(fleet.log)")
    #expect(fleet.workers.count == 3)
    fleet.expectOrder(killed: fleet.workers[0])
    fleet.expectLineage(try await reading.source.shards())
  }

  @Test("reading at LATEST keeps its place: what comes before the first checkpoint is not skipped")
  func latest() async throws {
    let reading = try await DynamoDBReading(
      environment: AWSEnvironment(),
      pollInterval: .milliseconds(50)
    )
    let log = DeliveredValues { ("a", try $0.value) }
    try await log.takeOverAtLatest(of: reading.source, handling: 3) { reading.put(0..<3) }
    #expect(log.values(of: "a") == [0, 1, 2])
  }
}
#endif
