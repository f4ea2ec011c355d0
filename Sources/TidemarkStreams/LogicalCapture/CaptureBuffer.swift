import Synchronization

/// Hands records from the task that decodes to the one that appends: one batch is filled while the other is written.
final class CaptureBuffer: Sendable {
  private let filling = Mutex<CapturedBatch?>(CapturedBatch())
  private let spare = Mutex<CapturedBatch?>(CapturedBatch())
  private let hasRecords = Alarm()
  private let hasRoom = Alarm()

  /// Waits for room, and lets `body` add to the batch that is being filled. For one task.
  func fill<R>(_ body: (inout CapturedBatch) throws -> R) async throws -> R {
    while true {
      try Task.checkCancellation()
      // Taken out for the time, so that neither is copied and nobody waits for a lock.
      if var batch = filling.withLock({ $0.take() }) {
        if !batch.isFull {
          defer { putBack(batch) }
          return try body(&batch)
        }
        putBack(batch)
      }
      await hasRoom.wait()
    }
  }

  /// Waits for a batch in which something was decoded, and takes it away. For one task.
  func take() async throws -> CapturedBatch {
    while true {
      try Task.checkCancellation()
      if let batch = takeFilled() { return batch }
      await hasRecords.wait()
    }
  }

  /// Gives an appended batch back, to be filled again.
  func recycle(_ batch: consuming CapturedBatch) {
    batch.removeAll()
    spare.withLock { [batch] in $0 = batch }
  }

  private func takeFilled() -> CapturedBatch? {
    let taken = filling.withLock { filling -> CapturedBatch? in
      guard let batch = filling, batch.position != nil else { return nil }
      filling = spare.withLock { $0.take() } ?? CapturedBatch()
      return batch
    }
    if taken != nil { hasRoom.ring() }
    return taken
  }

  private func putBack(_ batch: CapturedBatch) {
    filling.withLock { $0 = batch }
    hasRecords.ring()
  }
}
