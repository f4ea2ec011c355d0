import LibPQ
import Tidemark

/// What a reader that has read its shard to the end would read next.
struct PageWish: Sendable {
  /// The last sequence number that it has returned.
  var position: Int64
  /// The log partition that has what comes after.
  var partition: Int64
  var maximumRecords: Int
}

/// Records of one shard that were read along with others'.
struct FreshRecords: Sendable {
  var storage: LogRecords
  var rows: Range<Int>
  var readAt: Timestamp
  /// The position after which they are.
  var position: Int64
  /// What was known of the shard when they were read, if there were no more.
  var mark: StreamHeads.Mark?

  /// The new records of several shards of one partition: all of them or, where they are too large together, none. Each reader
  /// reads its own then.
  static func statement(
    stream: Int32,
    partition: Int64,
    of waiters: [StreamHeads.Waiter],
    maximumRecords: Int
  ) -> PQStatement {
    let log = "log_\(stream)_\(partition)"
    let shards = waiters.map(\.shard)
    let positions = waiters.compactMap { $0.wish?.position }
    let records = """
      unnest($1::integer[], $2::bigint[]) AS w (shard, position)
      CROSS JOIN LATERAL (SELECT * FROM tidemark.\"\(log)\" AS l WHERE l.shard_ordinal = w.shard
        AND l.sequence_number > w.position ORDER BY l.sequence_number LIMIT $3) AS r
      """
    return PQStatement(
      """
      WITH size AS MATERIALIZED (SELECT sum(r.size_in_bytes) AS bytes FROM \(records))
      SELECT r.sequence_number, r.event_name, r.cause, r.partition_key, r.new_image, r.old_image, r.data, r.created_at,
        r.shard_ordinal, (date_part('epoch', clock_timestamp()) * 1000000)::bigint AS read_at
      FROM \(records) WHERE (SELECT s.bytes FROM size AS s) <= $4
      """,
      shards,
      positions,
      Int32(maximumRecords),
      RecordPage.maximumBytes
    )
  }

  /// By shard.
  static func slices(
    _ rows: PQRows,
    of generation: StreamGeneration,
    for waiters: [StreamHeads.Waiter],
    marks: [Int32: StreamHeads.Mark],
    maximumRecords: Int
  ) throws -> [Int32: FreshRecords] {
    guard let first = rows.first else { return [:] }
    let storage = LogRecords(rows, of: generation)
    let readAt = Timestamp(microsecondsSinceEpoch: try first.decode("read_at", as: Int64.self))
    var slices: [Int32: FreshRecords] = [:]
    for (index, row) in rows.enumerated() {
      let shard = try row.decode("shard_ordinal", as: Int32.self)
      slices[shard, default: FreshRecords(storage: storage, rows: index..<index, readAt: readAt, position: 0)]
        .rows =
        (slices[shard]?.rows.lowerBound ?? index)..<(index + 1)
    }
    for waiter in waiters {
      guard let wish = waiter.wish, var slice = slices[waiter.shard] else { continue }
      slice.position = wish.position
      let last = storage.position(at: slice.rows.upperBound - 1)
      if slice.rows.count < maximumRecords, let mark = marks[waiter.shard], mark.isHead(last) {
        slice.mark = mark
      }
      slices[waiter.shard] = slice
    }
    return slices
  }
}
