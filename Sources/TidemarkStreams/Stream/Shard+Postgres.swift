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
    if let parent, application == nil { return try await children(of: parent, in: name, on: database) }
    return try await list(of: [(name, application)], childrenOf: parent, on: database)[name] ?? []
  }

  /// By an index, because thousands of shards may end at once.
  private static func children(
    of parent: String,
    in name: String,
    on database: some PQQueryable
  ) async throws -> [Shard] {
    try await database.query(
      """
      SELECT s.shard_id, s.parent_ids, s.hash_start, s.hash_end, s.starting_sequence, s.ending_sequence,
        s.trimmed_through, (date_part('epoch', s.closed_at) * 1000000)::bigint, t.name
      FROM tidemark.stream o JOIN tidemark.streams_named(\(name)) t ON t.stream_id = o.stream_id
      JOIN tidemark.shard s ON s.stream_id = o.stream_id
      WHERE s.application IS NULL AND s.parent_ids @> ARRAY[\(parent)]
      ORDER BY s.shard_ordinal
      """
    ).map { try decode($0).1 }
  }

  /// The same of several streams, by their names; one that is gone is left out.
  static func list(
    of streams: [(name: String, application: String?)],
    childrenOf parent: String? = nil,
    on database: some PQQueryable
  ) async throws -> [String: [Shard]] {
    let rows = try await database.query(
      PQStatement(
        """
        SELECT v.shard_id, v.parents, v.hash_start, v.hash_end, v.starting_sequence, v.ending_sequence, v.trimmed_through,
          (date_part('epoch', v.closed_at) * 1000000)::bigint, w.name
        FROM unnest($1::text[], $2::text[]) AS w (name, application) CROSS JOIN LATERAL (
          SELECT s.*, CASE WHEN s.application IS NULL AND s.starting_sequence = n.starting_sequence THEN
            ARRAY(SELECT p.shard_id FROM tidemark.shard p
              WHERE p.stream_id = n.stream_id AND p.application = w.application AND p.hash_start = s.hash_start)
            ELSE s.parent_ids END AS parents
          -- The table itself, too, so that it is what is locked first: see PostgresShardReader.
          FROM tidemark.stream o JOIN tidemark.streams_named(w.name) t ON t.stream_id = o.stream_id
          JOIN tidemark.shard s ON s.stream_id = o.stream_id
          LEFT JOIN LATERAL (
            SELECT c.stream_id, c.starting_sequence
            FROM tidemark.streams_named(w.name) u JOIN tidemark.snapshot c ON c.stream_id = u.stream_id
            WHERE c.application = w.application AND c.completed_at IS NOT NULL
            ORDER BY c.starting_sequence DESC LIMIT 1) AS n ON true
          WHERE CASE WHEN s.application IS NULL THEN s.starting_sequence >= coalesce(n.starting_sequence, 0)
            ELSE s.application = w.application AND s.stream_id = n.stream_id END) AS v
        WHERE $3::text IS NULL OR v.parents @> ARRAY[$3]
        ORDER BY v.shard_ordinal
        """,
        streams.map(\.name),
        streams.map(\.application),
        parent
      )
    )
    var shards: [String: [Shard]] = [:]
    for row in rows {
      let (name, shard) = try decode(row)
      shards[name, default: []].append(shard)
    }
    return shards
  }

  private static func decode(_ row: PQRow) throws -> (stream: String, Shard) {
    let (id, parents, hashStart, hashEnd, starting, ending, trimmed, closed, stream) = try row.decode(
      (String, [String], Int64, Int64, Int64, Int64?, Int64, Int64?, String).self
    )
    var shard = Shard(
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
    shard.beginning = .record(SequenceNumber(UInt64(bounds.beginning)))
    shard.horizon = .record(SequenceNumber(UInt64(bounds.horizon)))
    return (stream, shard)
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
