import PostgresClient
import Tidemark

/// The records of one read.
struct RecordPage {
  private(set) var records: [Record] = []
  /// The partition has more for this shard than the page.
  private(set) var isCutShort = false
  private(set) var lastPosition: Int64?
  /// How many records like these stay below the limit in bytes, with some room for larger ones. Never so few that a
  /// page of large ones would be followed by short pages of small ones.
  private(set) var likelyRecords = Int.max

  /// About as much as DynamoDB Streams and Kinesis return at once.
  static let maximumBytes: Int64 = 1 << 20

  /// Up to `maximumRecords` and about 1 MiB, at least one if there is one; and behind them one more, which only tells
  /// that there is more.
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
  ) -> PostgresStatement {
    let log = "log_\(stream)_\(partition)"
    var statement: PostgresStatement = """
      WITH page AS MATERIALIZED (
        SELECT CASE
          WHEN (
            SELECT sum(l.size_in_bytes) FROM (
              SELECT r.size_in_bytes FROM tidemark.\(identifier: log) AS r
              WHERE r.shard_ordinal = \(shard) AND r.sequence_number > \(position)
              ORDER BY r.sequence_number LIMIT \(maximumRecords)) AS l) < \(maximumBytes)
          THEN \(maximumRecords)
          ELSE (
            SELECT count(*) FROM (
              SELECT sum(l.size_in_bytes) OVER (ORDER BY l.sequence_number ROWS UNBOUNDED PRECEDING)
                - l.size_in_bytes AS preceding_bytes
              FROM (
                SELECT r.sequence_number, r.size_in_bytes FROM tidemark.\(identifier: log) AS r
                WHERE r.shard_ordinal = \(shard) AND r.sequence_number > \(position)
                ORDER BY r.sequence_number LIMIT \(maximumRecords)) AS l) AS p
            WHERE p.preceding_bytes < \(maximumBytes))
          END AS size)
      SELECT r.sequence_number, r.event_name, r.cause, r.partition_key, r.new_image, r.old_image, r.data, r.created_at,
        (SELECT p.size FROM page AS p)
      FROM tidemark.\(identifier: log) AS r
      WHERE r.shard_ordinal = \(shard) AND r.sequence_number > \(position)
      ORDER BY r.sequence_number LIMIT (SELECT p.size + 1 FROM page AS p)
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

  init(_ rows: PostgresRows, of stream: StreamGeneration) throws {
    guard let first = rows.first else { return }
    let size = Int(try first.decode("size", as: Int64.self))
    isCutShort = rows.count > size
    let storage = LogRecords(rows, of: stream)
    let count = min(rows.count, size)
    records = (0..<count).map { Record(in: storage, at: $0) }
    lastPosition = storage.position(at: count - 1)
    let sample = stride(from: 0, to: count, by: max(1, count / 64))
    let bytes = sample.reduce(0) { $0 + storage.sizeInBytes(at: $1) }
    likelyRecords = max(64, Int(Self.maximumBytes) * 9 / 10 * sample.underestimatedCount / max(1, bytes))
  }
}
