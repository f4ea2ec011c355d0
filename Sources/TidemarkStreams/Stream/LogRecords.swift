import LibPQ
import Tidemark

/// The records of one read of the log, which stay where libpq has put them.
final class LogRecords: RecordStorage {
  /// In the order of the statements of ``RecordPage`` and ``FreshRecords``.
  private enum Column {
    static let sequenceNumber: Int32 = 0
    static let eventName: Int32 = 1
    static let cause: Int32 = 2
    static let partitionKey: Int32 = 3
    static let newImage: Int32 = 4
    static let oldImage: Int32 = 5
    static let data: Int32 = 6
    static let createdAt: Int32 = 7
    /// Only where several shards were read.
    static let shardOrdinal: Int32 = 8
  }

  private let rows: PQRows
  private let stream: StreamGeneration
  /// Whether texts came as bytes, because one of them is no UTF-8.
  private let hasAnyText: Bool

  init(_ rows: PQRows, of stream: StreamGeneration) {
    self.rows = rows
    hasAnyText = rows.type(ofColumn: Column.partitionKey) == .bytea
    self.stream = stream
  }

  private func bytes(_ column: Int32, _ index: Int) -> RecordBytes? {
    rows.bytes(row: index, column: column).map { RecordBytes($0, of: rows.owner) }
  }

  private func length(_ column: Int32, _ index: Int) -> Int {
    rows.bytes(row: index, column: column)?.count ?? 0
  }

  private func integer(_ column: Int32, _ index: Int) -> Int64 {
    guard let bytes = rows.bytes(row: index, column: column), bytes.count == 8 else { return 0 }
    return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
  }

  private func letter(_ column: Int32, _ index: Int) -> UInt8? {
    rows.bytes(row: index, column: column)?.first
  }

  func shardOrdinal(at index: Int) -> Int32 {
    guard let bytes = rows.bytes(row: index, column: Column.shardOrdinal), bytes.count == 4 else { return -1 }
    return Int32(bigEndian: bytes.loadUnaligned(as: Int32.self))
  }

  func position(at index: Int) -> Int64 { integer(Column.sequenceNumber, index) }

  func sequenceNumber(at index: Int) -> SequenceNumber {
    SequenceNumber(UInt64(bitPattern: position(at: index)))
  }

  func partitionKey(at index: Int) -> String {
    guard let key = bytes(Column.partitionKey, index) else { return "" }
    return hasAnyText ? JSONEscapes.text(escapingInvalid: key) : String(decoding: key, as: UTF8.self)
  }

  func approximateCreationTime(at index: Int) -> Timestamp {
    // The server counts from 2000.
    Timestamp(microsecondsSinceEpoch: integer(Column.createdAt, index) + 946_684_800_000_000)
  }

  func eventID(at index: Int) -> String {
    Record.eventID(stream: stream.uid, sequenceNumber: UInt64(bitPattern: position(at: index)))
  }

  func sizeInBytes(at index: Int) -> Int {
    if letter(Column.eventName, index) == nil { return length(Column.data, index) }
    return length(Column.partitionKey, index) + length(Column.newImage, index)
      + length(Column.oldImage, index)
  }

  func eventName(at index: Int) -> Change.EventName? {
    switch letter(Column.eventName, index) {
    case UInt8(ascii: "I"): .insert
    case UInt8(ascii: "M"): .modify
    case UInt8(ascii: "R"): .remove
    default: nil
    }
  }

  func data(at index: Int) -> RecordBytes? {
    letter(Column.eventName, index) == nil ? bytes(Column.data, index) : nil
  }

  private func column(of part: Change.Part) -> Int32 {
    switch part {
    // The partition key of a change is the JSON of its keys.
    case .keys: Column.partitionKey
    case .newImage: Column.newImage
    case .oldImage: Column.oldImage
    }
  }

  func image(_ part: Change.Part, at index: Int) -> Image? {
    omits(part, at: index) ? nil : bytes(column(of: part), index).map { Image(bytes: $0) }
  }

  /// In the place of such an image stands JSON's `null`, which is the only one that is no object.
  func omits(_ part: Change.Part, at index: Int) -> Bool {
    letter(column(of: part), index) == UInt8(ascii: "n")
  }

  func viewType(at index: Int) -> StreamViewType? { stream.viewType }

  func userIdentity(at index: Int) -> UserIdentity? {
    letter(Column.cause, index) == UInt8(ascii: "E") ? .expiry : nil
  }

  func isSnapshot(at index: Int) -> Bool { letter(Column.cause, index) == UInt8(ascii: "S") }
}
