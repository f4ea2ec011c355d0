import Tidemark

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// New leases as one JSON value: unlike parallel arrays, it has room for each one's list of parents.
enum NewLeases {
  private struct Row: Encodable {
    var stream: String
    var shard_id: String
    var parent_shard_ids: [String]
    var hash_range_start: String?
    var hash_range_end: String?
    var checkpoint: String
    var sub_sequence_number: Int64
  }

  /// Inserts the leases that $2 holds into the scope $1, all but those that are there already.
  static let insert = """
    INSERT INTO tidemark_leases.lease (
      application, stream, shard_id, parent_shard_ids, hash_range_start, hash_range_end,
      checkpoint, sub_sequence_number, ended_at)
    SELECT $1, n.stream, n.shard_id, n.parent_shard_ids, n.hash_range_start, n.hash_range_end,
      n.checkpoint, n.sub_sequence_number,
      CASE WHEN n.checkpoint = 'SHARD_END' THEN clock_timestamp() END
    FROM json_to_recordset($2::text::json) AS n (
      stream text, shard_id text, parent_shard_ids text[], hash_range_start numeric, hash_range_end numeric,
      checkpoint text, sub_sequence_number bigint)
    """

  static func json(_ leases: [NewLease]) throws -> String {
    // In one order everywhere, so that two writers of the same rows wait for each other and not in a circle.
    let rows = try leases.sorted { $0.key < $1.key }.map { lease in
      let checkpoint = try StoredCheckpoint(lease.checkpoint)
      return Row(
        stream: lease.stream,
        shard_id: lease.shardID,
        parent_shard_ids: lease.parentShardIDs,
        hash_range_start: lease.hashRange.map { String($0.start) },
        hash_range_end: lease.hashRange.map { String($0.end) },
        checkpoint: checkpoint.text,
        sub_sequence_number: checkpoint.subSequenceNumber
      )
    }
    return String(decoding: try JSONEncoder().encode(rows), as: UTF8.self)
  }
}
