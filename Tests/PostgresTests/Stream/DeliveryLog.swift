import Logging
import Synchronization
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

/// What the workers of a test were given, in the order in which they handled it.
final class DeliveryLog: Sendable {
  struct Delivery: Sendable {
    var item: Int
    var value: Int?
    var change: Change
  }

  private struct Row: Decodable {
    var id: Int?
    var n: Int?
  }

  private let deliveries = Mutex<[Delivery]>([])

  var all: [Delivery] { deliveries.withLock { $0 } }
  var count: Int { deliveries.withLock { $0.count } }

  /// The column `n` of each item, in order.
  var valuesByItem: [Int: [Int]] {
    Dictionary(grouping: all, by: \.item).mapValues { $0.compactMap(\.value) }
  }

  /// What the table holds according to the records: each item's `n`.
  var table: [Int: Int] {
    var table: [Int: Int] = [:]
    for delivery in all { table[delivery.item] = delivery.value }
    return table
  }

  func add(_ change: Change) {
    let image = change.newImage ?? change.oldImage ?? change.keys
    guard let row = try? image.decode(as: Row.self), let item = row.id else { return }
    let value = change.newImage == nil ? nil : row.n
    deliveries.withLock { $0.append(Delivery(item: item, value: value, change: change)) }
  }

  /// A worker that syncs shards often, as another process would be one.
  func worker(
    of database: StreamDatabase,
    application: String = "test",
    from position: InitialPosition = .trimHorizon,
    logger: Logger = StreamDatabase.logger
  ) throws -> Worker {
    var configuration = WorkerConfiguration()
    configuration.reading.shardSyncInterval = .milliseconds(200)
    configuration.reading.initialPosition = position
    configuration.reading.maximumRecords = 100
    return try Worker(
      application: application,
      stream: "item",
      database: database.url,
      configuration: configuration,
      logger: logger,
      processor: { _ in Processor(log: self) }
    )
  }

  private struct Processor: RecordProcessor {
    let log: DeliveryLog

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      for record in batch { if let change = record.change { log.add(change) } }
      try await checkpointer.checkpoint()
    }
  }
}
