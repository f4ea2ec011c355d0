#if AWS
import Tidemark

/// Where a reader of a shard stands, and what it still has to see to know that nothing was trimmed.
struct ReadPosition: Sendable {
  /// What was handed out or skipped last, and where a reader that opens the shard again begins. Never `latest` once an
  /// iterator was there: another latest would be a later one.
  private(set) var checkpoint: Checkpoint
  /// Whether the record of the checkpoint has to come once more, since the shard was opened at it.
  private(set) var expectsCheckpoint = false

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
  }

  /// - Parameters:
  ///   - time: when the service opened it, or somewhat earlier.
  ///   - isBehindCheckpoint: the record of the checkpoint does not come again.
  mutating func opened(at time: Timestamp, isBehindCheckpoint: Bool = false) {
    if checkpoint == .latest { checkpoint = .atTimestamp(time) }
    expectsCheckpoint = checkpoint.sequenceNumber != nil && !isBehindCheckpoint
  }

  /// What the service sent is decisive, not what is left of it: a record whose user records all belong to other shards has
  /// come, too, and is before this reader's place.
  ///
  /// - Parameters:
  ///   - records: those of the shard.
  ///   - span: all that the service sent; `nil` if it sent nothing.
  /// - Returns: the records that are new; `nil` if the one at the checkpoint is gone, and others may be.
  mutating func receive(
    _ records: [Record],
    of span: ReceivedSpan?,
    isCaughtUp: Bool,
    isEnd: Bool
  ) -> ArraySlice<Record>? {
    guard let span else {
      if expectsCheckpoint && isEnd { return nil }
      if isCaughtUp { expectsCheckpoint = false }
      return []
    }
    var new = records[...]
    if expectsCheckpoint {
      if span.first != checkpoint.sequenceNumber { return nil }
      new = new.drop { $0.checkpoint <= checkpoint }
      expectsCheckpoint = false
    }
    checkpoint = max(checkpoint, span.last)
    return new
  }
}
#endif
