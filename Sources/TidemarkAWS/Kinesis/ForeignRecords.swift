#if AWS
/// The user records of an answer that do not belong to the shard in which they came, and that had the same fate.
struct ForeignRecords: Sendable {
  enum Fate: Sendable {
    case leftOut, delivered
  }

  /// Of the first aggregated record with such.
  var sequenceNumber: String
  var count = 0
}

extension ForeignRecords.Fate {
  var explanation: String {
    switch self {
    case .leftOut:
      """
      User records that do not belong to the shard are left out. The Kinesis Producer Library packed them before it knew \
      of a split, and sends them again to the shard where they belong.
      """
    case .delivered:
      """
      User records that do not belong to the shard are delivered in it. Their producer does not seem to be the Kinesis \
      Producer Library, which alone sends them again, and packs keys of several shards together, as aws-kinesis-agg does. \
      So records of one key come from several shards, in any order. Have it pack only records of one key together.
      """
    }
  }
}

/// When to tell of them: at once, and then once an hour, because a producer that packs this way does it all the time.
struct ForeignTally: Sendable {
  static let pause = Duration.seconds(3600)

  private var untold = 0
  private var lastTold: ContinuousClock.Instant?

  /// - Returns: how many to tell of; `nil` if it is not time yet.
  mutating func add(_ new: Int, at now: ContinuousClock.Instant) -> Int? {
    untold += new
    if let lastTold, lastTold.duration(to: now) < Self.pause { return nil }
    defer { (untold, lastTold) = (0, now) }
    return untold
  }
}
#endif
