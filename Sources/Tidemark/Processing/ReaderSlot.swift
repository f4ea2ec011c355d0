import Synchronization

/// The reader that a consumer presently reads with; another takes its place when it has to be opened again.
final class ReaderSlot: Sendable {
  private let reader = Mutex<(any ShardReader)?>(nil)

  func set(_ reader: any ShardReader) {
    self.reader.withLock { $0 = reader }
  }

  func get() throws -> any ShardReader {
    guard let reader = reader.withLock({ $0 }) else {
      throw TidemarkError(.sourceUnavailable, "No reader is open.")
    }
    return reader
  }
}
