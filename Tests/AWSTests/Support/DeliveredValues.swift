#if AWS
import LibPQ
import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// What the processors of a fleet were given, in the order in which they handled it: each record says a value of an item.
final class DeliveredValues: Sendable {
  private let deliveries = Mutex<[(shardID: String, item: String, value: Int)]>([])
  private let read: @Sendable (Record) throws -> (item: String, value: Int)?

  init(_ read: @escaping @Sendable (Record) throws -> (item: String, value: Int)?) { self.read = read }

  var count: Int { deliveries.withLock { $0.count } }
  var shardCount: Int { deliveries.withLock { Set($0.map(\.shardID)).count } }

  func values(of item: String) -> [Int] {
    deliveries.withLock { $0.filter { $0.item == item }.map(\.value) }
  }

  /// A fleet with leases in a database of its own; each worker is a service by itself.
  func workers(
    _ count: Int,
    of source: some StreamSource,
    events: (any WorkerEvents)? = nil,
    _ change: (inout WorkerConfiguration) -> Void = { _ in }
  ) async throws -> [ServiceGroup] {
    var configuration = WorkerConfiguration()
    configuration.reading.shardSyncInterval = .milliseconds(200)
    change(&configuration)
    return try await fleet(of: count, reading: source, events, configuration).workers
  }

  /// The first of two workers reads from LATEST on and ends before it was given anything; then `putting` writes records,
  /// and the second worker handles these.
  func takeOverAtLatest(of source: some StreamSource, handling count: Int, putting: () async throws -> Void)
    async throws
  {
    var configuration = WorkerConfiguration()
    configuration.reading.initialPosition = .latest
    let (workers, leases) = try await fleet(of: 2, reading: source, nil, configuration)
    let scope = LeaseScope(application: "fleet")
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await workers[0].run() }
      try await eventually("every lease has a place") {
        let checkpoints = try await leases.leases(in: scope).map(\.checkpoint)
        return !checkpoints.isEmpty && checkpoints.allSatisfy { $0 > .latest }
      }
      await workers[0].triggerGracefulShutdown()
      try await tasks.waitForAll()
      try await putting()
      tasks.addTask { try await workers[1].run() }
      try await eventually("the second worker has handled what came") { self.count >= count }
      await workers[1].triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }

  private func fleet(
    of count: Int,
    reading source: some StreamSource,
    _ events: (any WorkerEvents)?,
    _ configuration: WorkerConfiguration
  ) async throws -> (workers: [ServiceGroup], leases: PostgresLeaseStore) {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let database = try PQConfiguration(url: await TestServer.shared().makeDatabase())
    let pool = PQPool(database, logger: logger)
    try await Migrator(pool, schema: .leases, logger: logger).migrate()
    let leases = PostgresLeaseStore(database, pool: pool, logger: logger)
    let workers = try (0..<count).map { _ in
      let worker = try Worker(
        application: "fleet",
        stream: source,
        leases: leases,
        configuration: configuration,
        events: events,
        logger: logger,
        processor: { Processor(log: self, shardID: $0.shardID) }
      )
      return ServiceGroup(services: [worker], logger: logger)
    }
    return (workers, leases)
  }

  private struct Processor: RecordProcessor {
    let log: DeliveredValues
    let shardID: String

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      for record in batch {
        guard let (item, value) = try log.read(record) else { continue }
        log.deliveries.withLock { $0.append((shardID, item, value)) }
      }
      try await checkpointer.checkpoint()
    }
  }
}
#endif
