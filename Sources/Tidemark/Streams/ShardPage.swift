/// What one read of a shard returned.
public struct ShardPage: Sendable {
  /// The last of a shard: nothing follows this page.
  public struct End: Sendable {
    /// The shards that this one was split, merged or rotated into; empty when the stream was disabled.
    public var children: [Shard]

    public init(children: [Shard]) {
      self.children = children
    }
  }

  /// Records that this reader has returned before, or whose checkpoint it began after, and that the source has lost since:
  /// their numbers are not given to others, and what comes after them is complete.
  public struct Loss: Sendable, Hashable {
    /// The last record before them that the source still has, or had when it lost them.
    public var after: SequenceNumber
    /// The last of them that this reader knows of.
    public var through: SequenceNumber

    public init(after: SequenceNumber, through: SequenceNumber) {
      self.after = after
      self.through = through
    }
  }

  public var records: [Record]
  /// The age of the last record if more are waiting; 0 when the reader has caught up.
  public var millisBehindLatest: Int64
  /// When the page was read, by the clock that gave the records their creation times; `nil` where the source
  /// does not tell. The age of a record is counted from it, so that no other clock has to agree.
  public var readAt: Timestamp?
  public var end: End?
  /// Told once, by the first page after it was noticed.
  public var loss: Loss?

  public init(
    records: [Record],
    millisBehindLatest: Int64 = 0,
    readAt: Timestamp? = nil,
    end: End? = nil
  ) {
    self.records = records
    self.millisBehindLatest = millisBehindLatest
    self.readAt = readAt
    self.end = end
  }
}
