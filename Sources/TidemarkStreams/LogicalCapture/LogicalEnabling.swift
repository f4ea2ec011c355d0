import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

/// Enables a stream that is captured by decoding, in the steps that the migration `logical_capture` describes.
struct LogicalEnabling: Sendable {
  /// What a stream that is enabled is to be like.
  struct Wish: Sendable {
    var table: Int64
    var name: String?
    var viewType: StreamViewType
    var shardCount: Int
    var maximumLag: Int64
    var settings: PostgresStreamSettings
  }

  /// The table is prepared, and not more.
  private struct Unfinished: Error {
    var capture: Int32
    var cause: any Error
  }

  let wish: Wish
  let pool: PQPool
  let logger: Logger
  var clock: any MonotonicClock = ContinuousClock()

  /// Enables the stream, or leaves nothing behind, also when the task is cancelled.
  ///
  /// - Returns: the stream's id.
  func run() async throws -> Int32 {
    try await reading(.schema) {
      do {
        return try await pool.withConnection { connection in
          if await connection.isPooled {
            throw TidemarkError(
              .unsupported,
              "Tidemark cannot make a replication slot through a connection pooler.",
              advice:
                "Enable the stream with the server's own URL, and use that URL in the capturing process, too."
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
      } catch let unfinished as Unfinished {
        await undo(unfinished.capture)
        throw unfinished.cause
      }
    }
  }

  private func enable(on connection: PQConnection) async throws -> Int32 {
    try await noticeDeath(on: connection)
    let capture = try await lock.taking { try await prepare(on: connection) }
    do {
      try await makeSlot(of: capture, on: connection)
      return try await lock.taking { try await begin(capture, on: connection) }
    } catch {
      throw Unfinished(capture: capture, cause: error)
    }
  }

  /// Has the server end the session soon after this process: one that waits does not notice by itself, and would make
  /// the slot after all.
  private func noticeDeath(on connection: PQConnection) async throws {
    do {
      try await connection.execute("SET client_connection_check_interval = '1s'")
    } catch let error as PQError where error.sqlState == "22023" {
      logger.warning(
        "The server cannot notice this process's death: a slot that it makes after that stays until somebody looks",
        metadata: ["error": "\(error)"]
      )
    }
  }

  private var lock: PatientLock {
    .on(
      table: wish.table,
      purpose: "Enabling the stream",
      pool: pool,
      logger: logger,
      clock: clock
    )
  }

  private func prepare(on connection: PQConnection) async throws -> Int32 {
    try await connection.query(
      PQStatement(
        "SELECT tidemark.prepare_logical_capture($1::oid::regclass, $2, $3, make_interval(secs => $4), $5, $6)",
        wish.table,
        wish.name,
        wish.viewType.rawValue,
        wish.settings.retention.inSeconds,
        Int32(clamping: wish.shardCount),
        wish.maximumLag
      )
    )[0].decode(Int32.self)
  }

  /// Waits for all transactions of the server that are under way and have written, and says for which.
  private func makeSlot(of capture: Int32, on connection: PQConnection) async throws {
    let pid = try await connection.query("SELECT pg_backend_pid()")[0].decode(Int32.self)
    let notice = WaitNotice(
      message: "Enabling the stream waits for the end of a transaction",
      logger: logger,
      clock: clock
    )
    try await notice.telling(of: { try await LockHolder.blocking(pid, on: pool) }) {
      _ = try await connection.execute(
        "SELECT pg_create_logical_replication_slot(tidemark.slot_name(\(capture)), 'pgoutput')"
      )
    }
  }

  private func begin(_ capture: Int32, on connection: PQConnection) async throws -> Int32 {
    try await connection.transaction { transaction in
      let stream = try await transaction.query(
        PQStatement(
          "SELECT tidemark.enable_logical_stream($1, $2::oid::regclass, $3, $4, make_interval(secs => $5), $6)",
          capture,
          wish.table,
          wish.name,
          wish.viewType.rawValue,
          wish.settings.retention.inSeconds,
          Int32(clamping: wish.shardCount)
        )
      )[0].decode(Int32.self)
      try await wish.settings.apply(to: stream, on: transaction)
      return stream
    }
  }

  private func undo(_ capture: Int32) async {
    do {
      try await CaptureRemoval(capture: capture, table: wish.table, pool: pool, logger: logger, clock: clock)
        .run()
    } catch {
      logger.warning(
        "Cannot remove what enabling the stream has left; a worker or 'tidemark stream' does so later",
        metadata: ["error": "\(error)"]
      )
    }
  }
}
