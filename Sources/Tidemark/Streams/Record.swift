/// One record of a shard: a view over what its source received. Every value is found when it is asked for.
///
/// A record keeps the page alive that it came with. If you keep a few of many for long, copy what you need.
public struct Record: Sendable {
  /// What a record carries.
  public enum Body: Sendable {
    /// An item-level change of a table.
    case change(Change)
    /// Bytes that a producer put, as they were.
    case data(RecordBytes)
  }

  private let storage: any RecordStorage
  private let index: Int

  /// The record at `index` of what a source received.
  public init(in storage: any RecordStorage, at index: Int) {
    self.storage = storage
    self.index = index
  }

  /// A record of values, for sources that have nothing to look into, and for tests.
  ///
  /// - Parameter eventID: if it is left out, made of the two numbers, and so unique in a shard only.
  public init(
    sequenceNumber: SequenceNumber,
    subSequenceNumber: UInt64 = 0,
    partitionKey: String,
    approximateCreationTime: Timestamp,
    eventID: String? = nil,
    body: Body
  ) {
    var values = ValueStorage.Values()
    values.sequenceNumber = sequenceNumber
    values.subSequenceNumber = subSequenceNumber
    values.partitionKey = partitionKey
    values.approximateCreationTime = approximateCreationTime
    values.eventID =
      eventID ?? Self.eventID(stream: subSequenceNumber, sequenceNumber: sequenceNumber.uint64Value ?? 0)
    values.set(body)
    self.init(in: ValueStorage(values), at: 0)
  }

  public var sequenceNumber: SequenceNumber { storage.sequenceNumber(at: index) }

  /// The position among the records that a producer packed under one sequence number; 0 where none is packed.
  public var subSequenceNumber: UInt64 { storage.subSequenceNumber(at: index) }

  /// What decides the shard and within what order holds: for a change, the item's key. Bytes that are no UTF-8 are written as
  /// in ``Image/description``.
  public var partitionKey: String { storage.partitionKey(at: index) }

  /// When the source took the record, by its own clock.
  public var approximateCreationTime: Timestamp { storage.approximateCreationTime(at: index) }

  /// The record's name among all records of all streams, the same whenever and by whom it is read: 32 lower-case hex
  /// digits where the stream is PostgreSQL's.
  public var eventID: String { storage.eventID(at: index) }

  /// The change, if the record is one.
  public var change: Change? {
    storage.eventName(at: index).map { Change(in: storage, at: index, eventName: $0) }
  }

  /// The bytes that a producer put, if the record is no change.
  public var data: RecordBytes? { storage.data(at: index) }

  public var body: Body {
    if let change { .change(change) } else { .data(data ?? []) }
  }

  /// The payload's size in bytes.
  public var sizeInBytes: Int { storage.sizeInBytes(at: index) }

  /// The checkpoint that says: this record and all before it are handled.
  public var checkpoint: Checkpoint {
    .record(sequenceNumber, subSequenceNumber: subSequenceNumber)
  }

  /// An ``eventID`` from a stream's number, which no other stream has, and the record's in it.
  public static func eventID(stream: UInt64, sequenceNumber: UInt64) -> String {
    String(unsafeUninitializedCapacity: 32) { digits in
      for position in 0..<16 {
        let shift = UInt64(60 - position * 4)
        digits[position] = hexDigit(stream >> shift)
        digits[position + 16] = hexDigit(sequenceNumber >> shift)
      }
      return 32
    }
  }

  private static func hexDigit(_ value: UInt64) -> UInt8 {
    let digit = UInt8(value & 15)
    return digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
  }
}
