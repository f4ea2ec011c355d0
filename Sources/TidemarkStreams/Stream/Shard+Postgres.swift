import LibPQ
import Tidemark

extension Shard {
  /// - Parameters:
  ///   - name: a stream's full name, or a short one for all streams of that name.
  ///   - application: whose snapshot is listed, instead of what came before it, if it has one. A snapshot's shards are
  ///     then the parents of what follows.
  ///   - parent: only children of this shard, if given.
  static func list(
    of name: String,
    for application: String?,
    childrenOf parent: String? = nil,
    on database: some PQQueryable
  ) async throws -> [Shard] {
    let rows = try await database.query(
      PQStatement(
        """
        SELECT v.shard_id, v.parents, v.hash_start, v.hash_end, v.starting_sequence, v.ending_sequence, v.trimmed_through,
          (date_part('epoch', v.closed_at) * 1000000)::bigint
        FROM (
          SELECT s.*, CASE WHEN s.application IS NULL AND s.starting_sequence = n.starting_sequence THEN
            ARRAY(SELECT p.shard_id FROM tidemark.shard p
              WHERE p.stream_id = n.stream_id AND p.application = $2 AND p.hash_start = s.hash_start)
            ELSE s.parent_ids END AS parents
          -- The table itself, too, so that it is what is locked first: see PostgresShardReader.
          FROM tidemark.stream o JOIN tidemark.streams_named($1) t ON t.stream_id = o.stream_id
          JOIN tidemark.shard s ON s.stream_id = o.stream_id
          LEFT JOIN LATERAL (
            SELECT c.stream_id, c.starting_sequence
            FROM tidemark.streams_named($1) u JOIN tidemark.snapshot c ON c.stream_id = u.stream_id
            WHERE c.application = $2 AND c.completed_at IS NOT NULL
            ORDER BY c.starting_sequence DESC LIMIT 1) AS n ON true
          WHERE CASE WHEN s.application IS NULL THEN s.starting_sequence >= coalesce(n.starting_sequence, 0)
            ELSE s.application = $2 AND s.stream_id = n.stream_id END) AS v
        WHERE $3::text IS NULL OR v.parents @> ARRAY[$3]
        ORDER BY v.shard_ordinal
        """,
        name,
        application,
        parent
      )
    )
    return try rows.map { try Shard($0) }
  }

  private init(_ row: PQRow) throws {
    let (id, parents, hashStart, hashEnd, starting, ending, trimmed, closed) = try row.decode(
      (String, [String], Int64, Int64, Int64, Int64?, Int64, Int64?).self
    )
    self.init(
      id: id,
      parentIDs: parents,
      hashRange: HashRange(topBits: UInt32(hashStart)...UInt32(hashEnd)),
      startingSequenceNumber: SequenceNumber(UInt64(starting)),
      endingSequenceNumber: ending.map { SequenceNumber(UInt64($0)) },
      closedAt: closed.map { Timestamp(microsecondsSinceEpoch: $0) }
    )
    let bounds = ShardPosition.Bounds(
      startingSequence: starting,
      endingSequence: ending,
      trimmedThrough: trimmed,
      streamHead: starting
    )
    beginning = .record(SequenceNumber(UInt64(bounds.beginning)))
    horizon = .record(SequenceNumber(UInt64(bounds.horizon)))
  }
}

extension Shard.HashRange {
  /// The database hashes to 32 bits, which are the upper ones of the 128 that a range is stated in.
  init(topBits: ClosedRange<UInt32>) {
    self.init(
      start: UInt128(topBits.lowerBound) << 96,
      end: UInt128(topBits.upperBound) << 96 | (1 << 96 - 1)
    )
  }
}
