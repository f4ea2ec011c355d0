import Tidemark

/// Prints the changes of a table.
struct ChangePrinter: RecordProcessor {
  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    for change in batch.compactMap(\.change) {
      print(change.eventName.rawValue, change.newImage ?? change.keys)
    }
    try await checkpointer.checkpoint()
  }
}
