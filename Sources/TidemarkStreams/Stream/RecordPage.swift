import LibPQ
import Tidemark

/// The records of one read.
struct RecordPage {
  private(set) var records: [Record] = []
  /// The partition has more for this shard than the page.
  private(set) var isCutShort = false
  private(set) var lastPosition: Int64?
  /// The first record with an image that the stream has left out.
  private(set) var firstOmitting: Int64?
  /// How many records like these stay below the limit in bytes, with some room for larger ones. Never so few that a
  /// page of large ones would be followed by short pages of small ones.
  private(set) var likelyRecords = Int.max

  /// About as much as DynamoDB Streams and Kinesis return at once.
  static let maximumBytes: Int64 = 1 << 20

  /// Up to `maximumRecords` that have no more than 1 MiB together, or one that is larger than that alone.
  ///
  /// Adding up sizes costs less than a window function over rows, which copies each of them. Only where the records are
  /// too large together is it counted how many fit.
  ///
  /// - Parameters:
  ///   - partition: the log partition to read: see `tidemark.log_table`.
  ///   - takesAnyText: whether a text that is no UTF-8 comes as bytes (`tidemark.utf8`). Otherwise the server refuses to send
  ///     the page.
  static func statement(
    stream: Int32,
    partition: Int64,
    shard: Int32,
    after position: Int64,
    maximumRecords: Int,
    takesAnyText: Bool = false
  ) -> PQStatement {
    let log = "log_\(stream)_\(partition)"
    var statement: PQStatement = """
      WITH following AS MATERIALIZED (
        SELECT count(*) AS records, sum(l.size_in_bytes) AS bytes FROM (
          SELECT r.size_in_bytes FROM tidemark.\(identifier: log) AS r
          WHERE r.shard_ordinal = \(shard) AND r.sequence_number > \(position)
          ORDER BY r.sequence_number LIMIT \(maximumRecords) + 1) AS l
      ), page AS MATERIALIZED (
        SELECT f.records, CASE
          WHEN f.bytes <= \(maximumBytes) THEN least(f.records, \(maximumRecords))
          ELSE (
            SELECT count(*) FROM (
              SELECT l.size_in_bytes, sum(l.size_in_bytes) OVER (ORDER BY l.sequence_number ROWS UNBOUNDED PRECEDING)
                AS bytes
              FROM (
                SELECT r.sequence_number, r.size_in_bytes FROM tidemark.\(identifier: log) AS r
                WHERE r.shard_ordinal = \(shard) AND r.sequence_number > \(position)
                ORDER BY r.sequence_number LIMIT \(maximumRecords)) AS l) AS p
            WHERE p.bytes <= \(maximumBytes) OR p.bytes = p.size_in_bytes)
          END AS size
        FROM following AS f)
      SELECT r.sequence_number, r.event_name, r.cause, r.partition_key, r.new_image, r.old_image, r.data, r.created_at,
        (SELECT p.records > p.size FROM page AS p) AS is_cut_short
      FROM tidemark.\(identifier: log) AS r
      WHERE r.shard_ordinal = \(shard) AND r.sequence_number > \(position)
      ORDER BY r.sequence_number LIMIT (SELECT p.size FROM page AS p)
      """
    if takesAnyText {
      statement.sql = statement.sql.replacing(
        "r.partition_key, r.new_image, r.old_image,",
        with: """
          tidemark.utf8(r.partition_key), tidemark.utf8(r.new_image::text), tidemark.utf8(r.old_image::text),
          """
      )
    }
    return statement
  }

  /// Without any.
  init() {}

  init(_ rows: PQRows, of stream: StreamGeneration) throws {
    guard let first = rows.first else {
      self.init()
      return
    }
    self.init(LogRecords(rows, of: stream), 0..<rows.count)
    isCutShort = try first.decode("is_cut_short")
  }

  /// - Parameter rows: not empty.
  init(_ storage: LogRecords, _ rows: Range<Int>) {
    records = rows.map { Record(in: storage, at: $0) }
    lastPosition = storage.position(at: rows.upperBound - 1)
    firstOmitting = rows.first { storage.omits(.newImage, at: $0) || storage.omits(.oldImage, at: $0) }
      .map(storage.position)
    let sample = stride(from: rows.lowerBound, to: rows.upperBound, by: max(1, rows.count / 64))
    let bytes = sample.reduce(0) { $0 + storage.sizeInBytes(at: $1) }
    likelyRecords = max(64, Int(Self.maximumBytes) * 9 / 10 * sample.underestimatedCount / max(1, bytes))
  }
}
