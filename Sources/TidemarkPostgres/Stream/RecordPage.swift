import PostgresClient
import Tidemark

/// The records of one read, whose payloads are slices of one buffer.
struct RecordPage {
  var records: [Record] = []
  /// The log has more for this shard than the page.
  var isCutShort = false
  var lastPosition: Int64?

  /// About as much as DynamoDB Streams and Kinesis return at once.
  private static let maximumBytes: Int64 = 1 << 20

  static func statement(
    stream: Int32,
    shard: Int32,
    after position: Int64,
    maximumRecords: Int
  ) -> PostgresStatement {
    """
    SELECT p.sequence_number, p.event_name, p.partition_key, p.new_image, p.old_image, p.data,
      (date_part('epoch', p.created_at) * 1000000)::bigint, p.following IS NOT NULL
    FROM (
      SELECT l.*, lead(l.sequence_number) OVER numbered AS following,
        sum(l.size_in_bytes) OVER numbered - l.size_in_bytes AS preceding_bytes,
        row_number() OVER numbered AS number
      FROM (
        SELECT r.* FROM tidemark.\(identifier: "log_\(stream)") AS r
        WHERE r.shard_ordinal = \(shard) AND r.sequence_number > \(position)
        ORDER BY r.sequence_number LIMIT \(maximumRecords + 1)) AS l
      WINDOW numbered AS (ORDER BY l.sequence_number ROWS UNBOUNDED PRECEDING)) AS p
    WHERE p.preceding_bytes < \(maximumBytes) AND p.number <= \(maximumRecords)
    ORDER BY p.sequence_number
    """
  }

  init(_ rows: PostgresRows) throws {
    // The drafts' bytes lie in the result.
    try withExtendedLifetime(rows) {
      let drafts = try rows.map { try Draft($0) }
      var buffer: [UInt8] = []
      buffer.reserveCapacity(drafts.reduce(0) { $0 + $1.sizeInBytes })
      let ranges = drafts.map { $0.append(to: &buffer) }
      records = zip(drafts, ranges).map { $0.record(in: buffer, $1) }
      isCutShort = drafts.last?.isFollowed ?? false
      lastPosition = drafts.last?.position
    }
  }
}

/// A row of the log before its bytes are copied.
private struct Draft {
  struct Ranges {
    var key = 0..<0
    var newImage: Range<Int>?
    var oldImage: Range<Int>?
    var data: Range<Int>?
  }

  let position: Int64
  let eventName: Change.EventName?
  let partitionKey: BorrowedBytes
  let newImage: BorrowedBytes?
  let oldImage: BorrowedBytes?
  let data: BorrowedBytes?
  let createdAt: Int64
  let isFollowed: Bool

  init(_ row: PostgresRow) throws {
    let event: String?
    (position, event, partitionKey, newImage, oldImage, data, createdAt, isFollowed) = try row.decode(
      (Int64, String?, BorrowedBytes, BorrowedBytes?, BorrowedBytes?, BorrowedBytes?, Int64, Bool).self
    )
    eventName = event.flatMap { Change.EventName(rawValue: $0) }
  }

  var sizeInBytes: Int {
    if let data { return data.bytes.count }
    return partitionKey.bytes.count + (newImage?.bytes.count ?? 0) + (oldImage?.bytes.count ?? 0)
  }

  func append(to buffer: inout [UInt8]) -> Ranges {
    if let data { return Ranges(data: data.append(to: &buffer)) }
    return Ranges(
      key: partitionKey.append(to: &buffer),
      newImage: newImage?.append(to: &buffer),
      oldImage: oldImage?.append(to: &buffer)
    )
  }

  func record(in buffer: [UInt8], _ ranges: Ranges) -> Record {
    let body: Record.Body =
      if let eventName {
        // The partition key of a change is the JSON of its keys.
        .change(
          Change(
            eventName: eventName,
            keys: Image(bytes: buffer[ranges.key]),
            newImage: ranges.newImage.map { Image(bytes: buffer[$0]) },
            oldImage: ranges.oldImage.map { Image(bytes: buffer[$0]) }
          )
        )
      } else {
        .data(buffer[ranges.data ?? 0..<0])
      }
    return Record(
      sequenceNumber: SequenceNumber(UInt64(position)),
      partitionKey: String(decoding: partitionKey.bytes, as: UTF8.self),
      approximateCreationTime: Timestamp(microsecondsSinceEpoch: createdAt),
      body: body
    )
  }
}

/// A value where libpq has put it, so that a page's payloads are copied once and not one by one. It must not
/// outlive the result that it was decoded from.
private struct BorrowedBytes: PostgresDecodable {
  let bytes: UnsafeRawBufferPointer

  init(postgresBinary bytes: UnsafeRawBufferPointer, type: PostgresType) {
    self.bytes = bytes
  }

  func append(to buffer: inout [UInt8]) -> Range<Int> {
    let start = buffer.count
    buffer.append(contentsOf: bytes)
    return start..<buffer.count
  }
}
