import Tidemark

/// A reader's place in a shard: the last sequence number that was returned, and what can have been missed after it.
package struct ShardPosition: Sendable, Equatable {
  /// A shard as the database has it at one moment.
  package struct Bounds: Sendable {
    package var startingSequence: Int64
    package var endingSequence: Int64?
    /// The last of the shard's records that retention has dropped; 0 when none was.
    package var trimmedThrough: Int64
    /// The last sequence number of the stream.
    package var streamHead: Int64

    package init(
      startingSequence: Int64,
      endingSequence: Int64?,
      trimmedThrough: Int64,
      streamHead: Int64
    ) {
      self.startingSequence = startingSequence
      self.endingSequence = endingSequence
      self.trimmedThrough = trimmedThrough
      self.streamHead = streamHead
    }

    /// The place before the first record.
    package var beginning: Int64 { startingSequence - 1 }
    /// The place before the oldest record that is still there.
    package var horizon: Int64 { max(beginning, trimmedThrough) }
  }

  /// A jump of the stream's numbers, because the database lost what came after `fromHead`.
  package struct Jump: Sendable, Equatable {
    package var fromHead: Int64
    package var toHead: Int64

    package init(fromHead: Int64, toHead: Int64) {
      self.fromHead = fromHead
      self.toHead = toHead
    }
  }

  package private(set) var last: Int64
  /// The log partition that has what comes after, once it is known.
  package private(set) var partition: Int64?

  package init(after last: Int64) {
    self.last = last
  }

  /// The place that a checkpoint means.
  ///
  /// - Parameter number: that of a record's checkpoint.
  /// - Returns: nil for a time, which only the records tell, and for the end of a shard that is open.
  package init?(_ checkpoint: Checkpoint, number: Int64?, in shard: Bounds) {
    switch checkpoint {
    case .trimHorizon: last = shard.horizon
    case .latest: last = shard.endingSequence ?? shard.streamHead
    case .shardEnd:
      guard let ending = shard.endingSequence else { return nil }
      last = ending
    case .record:
      guard let number else { return nil }
      last = number
    case .atTimestamp: return nil
    }
  }

  package mutating func returned(_ number: Int64) { last = number }

  // MARK: Partitions

  /// The lowest ordinal that the partition after this one can have.
  package var nextOrdinal: Int64 { partition.map { $0 + 1 } ?? (last + 1) >> 32 }

  /// Whether the shard may have records in the partition that was next before this one was read. This one gets no more
  /// then.
  package func goesOn(in next: Int64?, endingSequence: Int64?) -> Bool {
    guard let next else { return false }
    return endingSequence.map { $0 >> 32 >= next } ?? true
  }

  package mutating func enter(_ partition: Int64?) { self.partition = partition }

  /// Whether records after the place are gone unread.
  package func hasMissed(trimmedThrough: Int64) -> Bool { last < trimmedThrough }

  /// What the reader has seen, and the database has lost.
  package func loss(in jumps: [Jump]) -> ShardPage.Loss? {
    jumps.first { $0.fromHead < last && last <= $0.toHead }.map { jump in
      ShardPage.Loss(after: SequenceNumber(UInt64(jump.fromHead)), through: SequenceNumber(UInt64(last)))
    }
  }
}
