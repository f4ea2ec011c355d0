import Logging
import PostgresClient
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

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
    let log = DeliveredValues()
    let workers = try await workers(3, of: reading, log)
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

  /// Each of the fleet's workers as a service of its own.
  private func workers(_ count: Int, of reading: DynamoDBReading, _ log: DeliveredValues) async throws
    -> [ServiceGroup]
  {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let database = try PostgresConfiguration(url: await TestServer.shared().makeDatabase())
    let pool = PostgresPool(database, logger: logger)
    try await Migrator(pool, logger: logger).migrate()
    var configuration = WorkerConfiguration()
    configuration.reading.shardSyncInterval = .milliseconds(200)
    return try (0..<count).map { _ in
      let worker = try Worker(
        application: "fleet",
        stream: reading.source,
        leases: PostgresLeaseStore(database, pool: pool, logger: logger),
        configuration: configuration,
        logger: logger,
        processor: { DeliveredValues.Processor(log: log, shardID: $0.shardID) }
      )
      return ServiceGroup(services: [worker], logger: logger)
    }
  }
}

/// What the processors of a fleet were given, in order.
private final class DeliveredValues: Sendable {
  private let deliveries = Mutex<[(shardID: String, item: String, value: Int)]>([])

  var count: Int { deliveries.withLock { $0.count } }
  var shardCount: Int { deliveries.withLock { Set($0.map(\.shardID)).count } }

  func values(of item: String) -> [Int] {
    deliveries.withLock { $0.filter { $0.item == item }.map(\.value) }
  }

  struct Processor: RecordProcessor {
    let log: DeliveredValues
    let shardID: String

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      for record in batch {
        guard let item = try record.change?.keys(as: [String: String].self)["id"] else { continue }
        let value = try record.value
        log.deliveries.withLock { $0.append((shardID, item, value)) }
      }
      try await checkpointer.checkpoint()
    }
  }
}
