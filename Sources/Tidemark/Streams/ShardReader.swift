/// A cursor in one shard. Its owner calls it from one task at a time.
public protocol ShardReader: Sendable {
  /// The position after which this reader started. One that was opened at `LATEST` has a record's position here
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

  /// Returns once there may be something to read, however long that takes, or throws when the task is cancelled.
  /// Workers call it before ``nextPage(maximumRecords:)``.
  ///
  /// For sources that hear of news by themselves: an idle shard then costs nothing. Others leave it out, which
  /// means to return at once, and wait in ``nextPage(maximumRecords:)``.
  func waitForNews() async throws
}

extension ShardReader {
  public func waitForNews() async throws {}
}
