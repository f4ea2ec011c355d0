import PostgresClient
import Tidemark

extension Shard {
  static func list(of stream: Int32, on database: some PostgresQueryable) async throws -> [Shard] {
    let rows = try await database.query(
      """
      SELECT s.shard_id, s.parent_ids, s.hash_start, s.hash_end, s.starting_sequence, s.ending_sequence,
        (date_part('epoch', s.closed_at) * 1000000)::bigint
      FROM tidemark.shard s WHERE s.stream_id = \(stream) ORDER BY s.shard_ordinal
      """
    )
    return try rows.map { try Shard($0) }
  }

  static func children(
    of shardID: String,
    in stream: Int32,
    on database: some PostgresQueryable
  ) async throws -> [Shard] {
    let rows = try await database.query(
      """
      SELECT s.shard_id, s.parent_ids, s.hash_start, s.hash_end, s.starting_sequence, s.ending_sequence,
        (date_part('epoch', s.closed_at) * 1000000)::bigint
      FROM tidemark.shard s WHERE s.stream_id = \(stream) AND s.parent_ids @> ARRAY[\(shardID)]
      ORDER BY s.shard_ordinal
      """
    )
    return try rows.map { try Shard($0) }
  }

  private init(_ row: PostgresRow) throws {
    let (id, parents, hashStart, hashEnd, starting, ending, closed) = try row.decode(
      (String, [String], Int64, Int64, Int64, Int64?, Int64?).self
    )
    self.init(
      id: id,
      parentIDs: parents,
      hashRange: HashRange(topBits: UInt32(hashStart)...UInt32(hashEnd)),
      startingSequenceNumber: SequenceNumber(UInt64(starting)),
      endingSequenceNumber: ending.map { SequenceNumber(UInt64($0)) },
      closedAt: closed.map { Timestamp(microsecondsSinceEpoch: $0) }
    )
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
