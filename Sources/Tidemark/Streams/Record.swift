/// One record of a shard.
public struct Record: Sendable {
  /// What a record carries.
  public enum Body: Sendable {
    /// An item-level change of a table.
    case change(Change)
    /// Bytes that a producer put, as they were.
    case data(ArraySlice<UInt8>)
  }

  public var sequenceNumber: SequenceNumber
  /// The position among the records that a producer packed under one sequence number; 0 where none is packed.
  public var subSequenceNumber: UInt64
  /// What decides the shard and within what order holds: for a change, the item's key.
  public var partitionKey: String
  /// When the source took the record, by its own clock.
  public var approximateCreationTime: Timestamp
  public var body: Body

  public init(
    sequenceNumber: SequenceNumber,
    subSequenceNumber: UInt64 = 0,
    partitionKey: String,
    approximateCreationTime: Timestamp,
    body: Body
  ) {
    self.sequenceNumber = sequenceNumber
    self.subSequenceNumber = subSequenceNumber
    self.partitionKey = partitionKey
    self.approximateCreationTime = approximateCreationTime
    self.body = body
  }

  /// The checkpoint that says: this record and all before it are handled.
  public var checkpoint: Checkpoint {
    .record(sequenceNumber, subSequenceNumber: subSequenceNumber)
  }

  /// The change, if the record is one.
  public var change: Change? {
    if case .change(let change) = body { change } else { nil }
  }

  /// The payload's size in bytes.
  public var sizeInBytes: Int {
    switch body {
    case .data(let data): data.count
    case .change(let change): change.sizeInBytes
    }
  }
}
