import LibPQ

/// The replication slot of a stream that is captured by logical decoding.
public struct ReplicationSlotDescription: Sendable, Hashable {
  public var name: String
  /// Whether some process is capturing.
  public var isActive: Bool
  /// What the server says of the log that the slot needs: `reserved`, `extended`, `unreserved` or `lost`.
  public var walStatus: String
  /// How many bytes of write-ahead log the server keeps for the slot, and how many it may before whoever looks after
  /// streams ends the stream.
  public var retainedBytes: Int64
  public var maximumRetainedBytes: Int64
  /// How many the server lets any slot keep beyond a checkpoint (`max_slot_wal_keep_size`), which is all that holds while
  /// nobody looks after streams; `nil` if any number.
  public var serverMaximumRetainedBytes: Int64?

  /// What to know and to do where the server's limit is not the stream's.
  public var advice: String? {
    let own = maximumRetainedBytes >> 20
    let server = serverMaximumRetainedBytes.map { $0 >> 20 }
    if server == own { return nil }
    if let server, server < own {
      return """
        At a checkpoint the server keeps no more than \(server) MiB of write-ahead log for a slot \
        (max_slot_wal_keep_size), less than the \(own) MiB that this one may. A stream that is further behind ends.
        """
    }
    return """
      While neither a worker nor 'tidemark stream' runs in this database, the server keeps \
      \(server.map { "up to \($0) MiB" } ?? "any amount") of write-ahead log for the slot, not \(own) MiB. To bound it, for \
      all slots of the server, a standby's too: ALTER SYSTEM SET max_slot_wal_keep_size = '\(own)MB'; \
      SELECT pg_reload_conf();
      """
  }
}

extension PostgresStreamDescription {
  /// Adds what there is to say about the capture of the stream with this id.
  mutating func addCapture(of id: Int32, on pool: PQPool) async throws {
    let rows = try await pool.query(
      """
      SELECT s.capture, s.failure, r.slot_name::text, r.active, coalesce(r.wal_status, 'lost'),
        coalesce(pg_wal_lsn_diff(CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn() END,
          r.restart_lsn)::bigint, 0), c.maximum_lag,
        nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1)
      FROM tidemark.stream s LEFT JOIN tidemark.logical_capture c USING (stream_id)
      LEFT JOIN pg_replication_slots r ON r.slot_name = tidemark.slot_name(c.capture_id)
      WHERE s.stream_id = \(id)
      """
    )
    guard let row = rows.first else { return }
    let (capture, failure, slot, isActive, status, retained, maximum, serverMaximum) = try row.decode(
      (String, String?, String?, Bool?, String, Int64, Int64?, Int64?).self
    )
    if table != nil { self.capture = StreamCapture(rawValue: capture) }
    captureFailure = failure
    self.slot = slot.map {
      ReplicationSlotDescription(
        name: $0,
        isActive: isActive ?? false,
        walStatus: status,
        retainedBytes: retained,
        maximumRetainedBytes: maximum ?? 0,
        serverMaximumRetainedBytes: serverMaximum
      )
    }
  }
}
