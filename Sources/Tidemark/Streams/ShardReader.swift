/// A cursor in one shard. Its owner calls it from one task at a time.
public protocol ShardReader: Sendable {
  /// The position behind which this reader began. One that was opened at `LATEST` has a record's position here
  /// if the source can tell it, so that a reader opened there later misses nothing in between.
  var origin: Checkpoint { get }

  /// The next records, in order.
  ///
  /// Where nothing is there yet, it waits for a while that the source chooses (a second or so) and then returns
  /// an empty page. After a page with ``ShardPage/end`` it is not called again.
  ///
  /// - Parameter maximumRecords: the most records to return; the source may have a lower limit of its own, in
  ///   records and in bytes.
  /// - Throws: ``TidemarkError`` with a code that says what to do: `recordsTrimmed`, `shardNotFound`,
  ///   `iteratorExpired`, `throttled`, `sourceUnavailable`. After an error the cursor stands where it stood.
  func nextPage(maximumRecords: Int) async throws -> ShardPage
}

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

  public var records: [Record]
  /// The age of the last record if more are waiting; 0 when the reader has caught up.
  public var millisBehindLatest: Int64
  /// When the page was read, by the clock that gave the records their creation times; `nil` where the source
  /// does not tell. The age of a record is counted from it, so that no other clock has to agree.
  public var readAt: Timestamp?
  public var end: End?

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
