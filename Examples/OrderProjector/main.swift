import Logging
import ServiceLifecycle
import Tidemark
import TidemarkStreams
import UnixSignals

struct OrderProjector: RecordProcessor {
  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    for record in batch {
      guard let change = record.change else { continue }
      print(change.eventName.rawValue, change.keys)
    }
    try await checkpointer.checkpoint()
  }
}

await exitOnFailure {
  let worker = try Worker(
    application: "order-projector",
    stream: "orders",
    database: "postgresql://localhost/shop"
  ) { shard in OrderProjector() }

  try await ServiceGroup(
    services: [worker],
    gracefulShutdownSignals: [.sigterm, .sigint],
    logger: Logger(label: "orders")
  ).run()
}
