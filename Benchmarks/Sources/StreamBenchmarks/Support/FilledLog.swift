import BenchmarkSupport
import LibPQ
import TidemarkStreams

/// A stream of one shard whose log is full of changes with images of a given size.
struct FilledLog {
  let name = "filled"
  let streamID: Int32
  let records: Int

  init(records: Int, imageBytes: Int, in database: BenchmarkDatabase) async throws {
    self.records = records
    let pool = database.pool
    try await PostgresStreamAdmin(pool).create(name, shardCount: 1)
    streamID = try await pool.query("SELECT tidemark.find_stream(\(name))")[0].decode(Int32.self)
    // Written as the sequencing step would; through it, filling would take longer than reading.
    let base = try await pool.query(
      "SELECT tidemark.current_log_partition(\(streamID), 0) << 32"
    )[0].decode(Int64.self)
    try await pool.execute(
      """
      INSERT INTO tidemark.\(identifier: "log_\(streamID)")
        (shard_ordinal, sequence_number, event_name, partition_key, new_image, size_in_bytes, created_at)
      SELECT 0, \(base) + n, 'INSERT', key, image::json, octet_length(key) + octet_length(image), clock_timestamp()
      FROM (
        SELECT n, format('{"id":%s}', n) AS key, rpad(
          format('{"id":%s,"customer":"c-%s","status":"OPEN","amount":%s.25,"note":"', n, n % 1000, n % 977),
          \(Int32(imageBytes)) - 2, 'abcdefghij ') || '"}' AS image
        FROM generate_series(1::bigint, \(Int64(records))) AS n) AS item
      ORDER BY n
      """
    )
    try await pool.execute(
      """
      INSERT INTO tidemark.step (stream_id, head, shard_ordinals, shard_heads, shard_counts)
      VALUES (\(streamID), \(base) + \(Int64(records)), '{0}', ARRAY[\(base) + \(Int64(records))],
        ARRAY[\(Int32(records))])
      """
    )
    try await pool.execute("VACUUM (FREEZE, ANALYZE)")
  }
}
