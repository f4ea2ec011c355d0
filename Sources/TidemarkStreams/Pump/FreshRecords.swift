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
  /// A reader that waits, with what it would read and what was known of its shard before that is read.
  struct Wish: Sendable {
    var waiter: StreamHeads.Waiter
    var page: PageWish
    var mark: StreamHeads.Mark
  }

  var storage: LogRecords
  var rows: Range<Int>
  var readAt: Timestamp
  /// The position after which they are.
  var position: Int64
  /// What was known of the shard when they were read, if there were no more.
  var mark: StreamHeads.Mark?

  /// The new records of several shards: all of them or, where they are too large together, none. Each reader reads its own
  /// then, as much as fits into a page.
  static func statement(for wishes: [Wish], in partition: Int64, of generation: StreamGeneration)
    -> PQStatement
  {
    """
    WITH fresh AS MATERIALIZED (
      SELECT r.* FROM unnest(\(wishes.map(\.waiter.shard)), \(wishes.map(\.page.position))) AS w (shard, position)
      CROSS JOIN LATERAL (
        SELECT * FROM tidemark.\(identifier: "log_\(generation.id)_\(partition)") AS l
        WHERE l.shard_ordinal = w.shard AND l.sequence_number > w.position
        ORDER BY l.sequence_number LIMIT \(maximumRecords(of: wishes))) AS r)
    SELECT f.sequence_number, f.event_name, f.cause, f.partition_key, f.new_image, f.old_image, f.data, f.created_at,
      f.shard_ordinal, (date_part('epoch', clock_timestamp()) * 1000000)::bigint AS read_at
    FROM fresh AS f WHERE (SELECT sum(s.size_in_bytes) FROM fresh AS s) <= \(RecordPage.maximumBytes)
    ORDER BY f.shard_ordinal, f.sequence_number
    """
  }

  private static func maximumRecords(of wishes: [Wish]) -> Int {
    wishes.map(\.page.maximumRecords).min() ?? 0
  }

  /// - Parameter rows: the statement's.
  /// - Returns: by shard.
  static func slices(of rows: PQRows, for wishes: [Wish], of generation: StreamGeneration) throws
    -> [Int32: FreshRecords]
  {
    guard let first = rows.first else { return [:] }
    let storage = LogRecords(rows, of: generation)
    let readAt = Timestamp(microsecondsSinceEpoch: try first.decode("read_at", as: Int64.self))
    var ranges: [Int32: Range<Int>] = [:]
    for index in 0..<rows.count {
      let shard = storage.shardOrdinal(at: index)
      ranges[shard] = (ranges[shard]?.lowerBound ?? index)..<(index + 1)
    }
    var slices: [Int32: FreshRecords] = [:]
    for wish in wishes {
      guard let range = ranges[wish.waiter.shard] else { continue }
      // A shard that was closed has a number of its own for that, which is no record's: its reader looks for the end.
      let isAll =
        range.count < maximumRecords(of: wishes)
        && wish.mark.isHead(storage.position(at: range.upperBound - 1))
      slices[wish.waiter.shard] = FreshRecords(
        storage: storage,
        rows: range,
        readAt: readAt,
        position: wish.page.position,
        mark: isAll ? wish.mark : nil
      )
    }
    return slices
  }
}
