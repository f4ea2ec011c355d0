import Logging
import PostgresClient
import Tidemark

/// Enables a stream that is captured by decoding, in the steps that the migration `logical_capture` describes.
struct LogicalEnabling {
  /// What a stream that is enabled is to be like.
  struct Wish: Sendable {
    var table: Int64
    var name: String?
    var viewType: StreamViewType
    var retention: Duration
    var shardCount: Int
    var maximumLag: Int64
  }

  let wish: Wish
  let pool: PostgresPool
  let logger: Logger
  var clock: any MonotonicClock = ContinuousClock()

  /// Enables the stream, or leaves nothing behind.
  ///
  /// - Returns: the stream's id.
  func run() async throws -> Int32 {
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
          let stream = try await enable(on: connection)
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

  private func enable(on connection: PostgresConnection) async throws -> Int32 {
    // A server that waits for others does not notice by itself that nobody waits for it any more.
    try await connection.execute("SET client_connection_check_interval = '1s'")
    let capture = try await lock.taking { try await prepare(on: connection) }
    do {
      try await makeSlot(of: capture, on: connection)
      return try await lock.taking { try await begin(capture, on: connection) }
    } catch {
      await undo(capture)
      throw error
    }
  }

  private var lock: TableLock {
    TableLock(
      table: wish.table,
      purpose: "Enabling the stream",
      pool: pool,
      logger: logger,
      clock: clock
    )
  }

  private func prepare(on connection: PostgresConnection) async throws -> Int32 {
    try await connection.query(
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
  }

  /// Waits for all transactions of the server that are under way and have written, and says for which.
  private func makeSlot(of capture: Int32, on connection: PostgresConnection) async throws {
    let pid = try await connection.query("SELECT pg_backend_pid()")[0].decode(Int32.self)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        _ = try await connection.execute(
          "SELECT pg_create_logical_replication_slot(tidemark.slot_name(\(capture)), 'pgoutput')"
        )
      }
      group.addTask { try await tellWaits(of: pid) }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// Logs for whom a session waits, at once and whenever that changes, until the task is cancelled.
  private func tellWaits(of pid: Int32) async throws {
    var told = ""
    while true {
      try await clock.sleep(for: .milliseconds(500))
      guard let holders = try? await LockHolders.blocking(pid, on: pool).joined(separator: ", ") else {
        continue
      }
      if holders != told, !holders.isEmpty {
        logger.warning(
          "Enabling the stream waits for the end of a transaction",
          metadata: ["held by": "\(holders)"]
        )
      }
      told = holders
    }
  }

  private func begin(_ capture: Int32, on connection: PostgresConnection) async throws -> Int32 {
    try await connection.query(
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
  }

  /// Also when this task is cancelled. If it fails, too, maintenance does it.
  private func undo(_ capture: Int32) async {
    await Task { [pool] in
      _ = try? await pool.execute("SELECT tidemark.drop_logical_capture(\(capture))")
    }.value
  }
}
