import LibPQ

extension DrillFleet {
  /// How many records of each shard come after its checkpoint, in the log or still to be sequenced.
  package func unread() async throws -> [String: Int] {
    let stream = try await pool.query("SELECT tidemark.find_stream('orders')")[0].decode(Int32.self)
    let rows = try await pool.query(
      """
      SELECT l.shard_id, count(r.sequence_number)
      FROM tidemark_leases.lease l
      JOIN tidemark.shard s ON s.stream_id = \(stream) AND s.shard_id = l.shard_id
      LEFT JOIN tidemark.\(identifier: "log_\(stream)") r ON r.shard_ordinal = s.shard_ordinal
        AND r.sequence_number > greatest(tidemark_leases.checkpoint_rank(l.checkpoint), 0)
      GROUP BY l.shard_id
      """
    )
    return try Dictionary(
      rows.map { try $0.decode((String, Int).self) }.map { ($0.0, $0.1) },
      uniquingKeysWith: { first, _ in first }
    )
  }
}
