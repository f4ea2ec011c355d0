import Logging
import PostgresClient
import Tidemark

extension LogicalCapture {
  /// What a stream that is enabled is to be like.
  struct Wish: Sendable {
    var table: Int64
    var name: String?
    var viewType: StreamViewType
    var retention: Duration
    var shardCount: Int
    var maximumLag: Int64
  }

  /// Enables a stream on a table, or leaves nothing behind.
  ///
  /// - Returns: the stream's id.
  static func enable(_ wish: Wish, on pool: PostgresPool) async throws -> Int32 {
    try await mappingStreamErrors {
      // What a death has left of an earlier attempt.
      try await pool.execute("SELECT tidemark.drop_dead_captures()")
      return try await pool.withConnection { connection in
        if await connection.isPooled {
          throw TidemarkError(
            .unsupported,
            "A replication slot cannot be made through a connection pooler.",
            advice: "Enable the stream with the server's own URL, and give that to who captures it, too."
          )
        }
        do {
          let stream = try await enable(wish, on: connection)
          // Gives up the lock that said that this was not dead.
          await connection.close()
          return stream
        } catch {
          await connection.close()
          throw error
        }
      }
    }
  }

  private static func enable(_ wish: Wish, on connection: PostgresConnection) async throws -> Int32 {
    let capture = try await connection.query(
      PostgresStatement(
        "SELECT tidemark.prepare_logical_capture($1::oid::regclass, $2, $3, make_interval(secs => $4), $5, $6)",
        wish.table,
        wish.name,
        wish.viewType.rawValue,
        wish.retention.inSeconds,
        Int32(clamping: wish.shardCount),
        wish.maximumLag
      )
    )[0].decode(Int32.self)
    do {
      // Waits for all transactions that are under way.
      try await connection.execute(
        "SELECT pg_create_logical_replication_slot(tidemark.slot_name(\(capture)), 'pgoutput')"
      )
      return try await connection.query(
        PostgresStatement(
          """
          SELECT tidemark.enable_logical_stream($1, $2::oid::regclass, $3, $4, make_interval(secs => $5), $6)
          """,
          capture,
          wish.table,
          wish.name,
          wish.viewType.rawValue,
          wish.retention.inSeconds,
          Int32(clamping: wish.shardCount)
        )
      )[0].decode(Int32.self)
    } catch {
      // If this fails, too, maintenance does it.
      _ = try? await connection.execute("SELECT tidemark.drop_logical_capture(\(capture))")
      throw error
    }
  }

  /// Sees that all that was committed before is in the log, and that nothing after it comes.
  func finish() async throws {
    let end = try await mappingStreamErrors {
      try await pool.query("SELECT tidemark.end_logical_capture(\(stream))::text")[0].decode(String.self)
    }
    try await run(until: try CaptureState.place(end))
  }

  /// Removes the slot and what else the capture of a disabled stream had.
  static func remove(of stream: Int32, on pool: PostgresPool) async throws {
    _ = try await mappingStreamErrors {
      try await pool.execute(
        """
        SELECT tidemark.drop_logical_capture(c.capture_id) FROM tidemark.logical_capture c
        WHERE c.stream_id = \(stream) AND c.ended_at IS NULL
        """
      )
    }
  }
}
