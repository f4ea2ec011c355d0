import LibPQ
import Tidemark

/// What a PostgreSQL stream knows of a shard besides its lineage.
public struct PostgresShardStatus: Sendable, Hashable {
  public var createdAt: Timestamp
  /// Records per second when they were last counted; of a closed shard, before it was closed.
  public var writeRate: Double
}

extension PostgresShardStatus {
  /// By the shards' ids.
  static func all(of stream: Int32, on pool: PQPool) async throws -> [String: PostgresShardStatus] {
    let rows = try await pool.query(
      """
      SELECT s.shard_id, (date_part('epoch', s.created_at) * 1000000)::bigint, s.write_rate
      FROM tidemark.shard s WHERE s.stream_id = \(stream)
      """
    )
    var all: [String: PostgresShardStatus] = [:]
    for row in rows {
      let (id, created, rate) = try row.decode((String, Int64, Double).self)
      all[id] = PostgresShardStatus(
        createdAt: Timestamp(microsecondsSinceEpoch: created),
        writeRate: rate
      )
    }
    return all
  }
}
