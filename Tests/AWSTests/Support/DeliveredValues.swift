import Logging
import PostgresClient
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

/// What the processors of two workers were given, in the order in which they handled it: each record says a value.
final class DeliveredValues: Sendable {
  private let state = Mutex<[Int]>([])
  private let value: @Sendable (Record) throws -> Int

  init(_ value: @escaping @Sendable (Record) throws -> Int) { self.value = value }

  var values: [Int] { state.withLock { $0 } }

  /// The first of two workers reads from LATEST on and ends before it was given anything; then `putting` writes records,
  /// and the second worker handles these.
  func takeOverAtLatest(of source: some StreamSource, handling count: Int, putting: () async throws -> Void)
    async throws
  {
    let (workers, leases) = try await fleet(reading: source)
    let scope = LeaseScope(application: "fleet", stream: try await source.streamName())
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
      try await eventually("the second worker has handled what came") { self.values.count >= count }
      await workers[1].triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }

  /// With leases in a database of its own; each worker is a service by itself.
  private func fleet(reading source: some StreamSource) async throws -> (
    workers: [ServiceGroup], leases: PostgresLeaseStore
  ) {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let database = try PostgresConfiguration(url: await TestServer.shared().makeDatabase())
    let pool = PostgresPool(database, logger: logger)
    try await Migrator(pool, logger: logger).migrate()
    var configuration = WorkerConfiguration()
    configuration.reading.initialPosition = .latest
    let leases = PostgresLeaseStore(database, pool: pool, logger: logger)
    let workers = try (0..<2).map { _ in
      let worker = try Worker(
        application: "fleet",
        stream: source,
        leases: leases,
        configuration: configuration,
        logger: logger,
        processor: { _ in Processor(log: self) }
      )
      return ServiceGroup(services: [worker], logger: logger)
    }
    return (workers, leases)
  }

  private struct Processor: RecordProcessor {
    let log: DeliveredValues

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      let values = try batch.map(log.value)
      log.state.withLock { $0 += values }
      try await checkpointer.checkpoint()
    }
  }
}
