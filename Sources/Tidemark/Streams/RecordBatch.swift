/// Records of one shard in order, as a processor is given them: never empty.
public struct RecordBatch: Sendable, RandomAccessCollection {
  public var records: ArraySlice<Record>
  /// How old the last record of the page was when it was read; 0 when the reader had caught up.
  public var millisBehindLatest: Int64
  /// How often the first record of this batch was given to a processor before, in a row and by this owner:
  /// 0 at first, more after a failure.
  public var previousAttempts: Int

  public init(records: ArraySlice<Record>, millisBehindLatest: Int64, previousAttempts: Int = 0) {
    self.records = records
    self.millisBehindLatest = millisBehindLatest
    self.previousAttempts = previousAttempts
  }

  public var startIndex: Int { records.startIndex }
  public var endIndex: Int { records.endIndex }
  public subscript(position: Int) -> Record { records[position] }
}
