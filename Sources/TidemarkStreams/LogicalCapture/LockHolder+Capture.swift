import LibPQ
import TidemarkPostgres

extension LockHolder {
  /// The session that captures a stream by decoding, and how much of the server's log before the place is still to be
  /// captured.
  static func capturing(_ stream: Int32, until place: String, on pool: PQPool) async throws
    -> [LockHolder]
  {
    try await found(
      PQStatement(
        """
        SELECT format('%s, which captures it and has %s of write-ahead log to go', s.description,
          pg_size_pretty(greatest(pg_wal_lsn_diff($2::text::pg_lsn, s.confirmed_flush_lsn), 0))),
          s.remedy || ' lets another process go on; disabling by force leaves out what is not captured'
        FROM (
          SELECT \(columns), r.confirmed_flush_lsn
          FROM tidemark.logical_capture c
          JOIN pg_replication_slots r ON r.slot_name = tidemark.slot_name(c.capture_id)
          JOIN pg_stat_activity a ON a.pid = r.active_pid LEFT JOIN pg_prepared_xacts p ON false
          WHERE c.stream_id = $1
        ) AS s
        """,
        stream,
        place
      ),
      on: pool
    )
  }
}
