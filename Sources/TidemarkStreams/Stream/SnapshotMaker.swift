import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// Makes the snapshot of a stream's table for one application; the migrations `snapshots` and `logical_snapshots` say
/// how it works.
struct SnapshotMaker: Sendable {
  /// Where the copied rows go.
  struct Target: Sendable {
    var partition: Int64
    var hashStarts: [Int64]
    var shardOrdinals: [Int32]
  }

  /// How much of the table one transaction copies: a fraction of a second's work.
  private static let blocksAtOnce: Int64 = 512
  private static let reportInterval = Duration.seconds(5)

  let stream: StreamGeneration
  let application: String
  let pool: PQPool
  let clock: any MonotonicClock
  let logger: Logger

  /// Returns once there is a snapshot, whoever has made it.
  func make() async throws {
    try await reading(.stream, on: pool) {
      try await pool.withConnection { connection in
        do {
          try await make(on: connection)
        } catch {
          await connection.close()
          throw error
        }
        // Its end is the end of the making.
        await connection.close()
      }
    }
  }

  private func make(on connection: PQConnection) async throws {
    if await connection.isPooled {
      throw TidemarkError(
        .unsupported,
        "Tidemark cannot take a snapshot through a transaction pooler.",
        advice: "Give the first worker of the application a direct connection."
      )
    }
    try await lock(connection)
    if try await isComplete(connection) { return }
    let (source, schema, table) = try await connection.query(
      """
      SELECT c.oid::bigint, n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.oid = tidemark.snapshot_source(\(stream.id))
      """
    )[0].decode((Int64, String, String).self)
    // The transaction that keeps the moment is idle most of the time, and may last for hours.
    _ = try await connection.query(
      """
      SELECT set_config(s.name, '0', false) FROM pg_settings s
      WHERE s.name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
      """
    )
    let pid = try await connection.query("SELECT pg_backend_pid()")[0].decode(Int32.self)
    let count = try await untilUnhindered {
      // In a transaction of its own: an attempt that is given up takes back what it has entered, and the next one would
      // find a history that has just begun again.
      try await pool.execute("SELECT tidemark.enter_history()")
      switch stream.capture {
      case .trigger: try await sequenceMost()
      case .logical: try await waitForWriters(on: connection)
      }
      // It never writes: an open transaction that does keeps the inbox's floor where it is.
      return try await connection.transaction(isolation: .repeatableRead, readOnly: true) { holder in
        // Before anything is seen: a transaction that looks at an older state of a table that was truncated since finds
        // it empty.
        try await holder.execute(
          "LOCK TABLE \(identifier: schema).\(identifier: table) IN ACCESS SHARE MODE"
        )
        return try await givingWay(to: source, by: pid) {
          let target = try await begin(seenBy: holder)
          return try await copy(source, to: target, seenBy: holder)
        }
      }
    }
    while try await !complete(count, on: connection) { try await clock.sleep(for: .milliseconds(100)) }
    logger.info("The snapshot is complete", metadata: metadata(copied: count))
  }

  /// Waits until nobody else makes this snapshot. The session is noted as its maker, and that ends with it.
  private func lock(_ connection: PQConnection) async throws {
    var delay = DoublingDelay(from: .milliseconds(20), to: .seconds(1))
    while try await !connection.query(
      "SELECT tidemark.begin_making(\(stream.id), \(application))"
    )[0].decode(Bool.self) {
      try await clock.sleep(for: delay.next())
    }
  }

  private func isComplete(_ connection: PQConnection) async throws -> Bool {
    try await !connection.query(
      """
      SELECT FROM tidemark.snapshot n WHERE n.stream_id = \(stream.id) AND n.application = \(application)
        AND n.completed_at IS NOT NULL
      """
    ).isEmpty
  }

  /// So that little is left for the moment in which nobody else can sequence.
  private func sequenceMost() async throws { try await StreamAdvance.advanceFully(stream.id, on: pool) }

  /// Cuts the stream at one moment, which is also what `holder` then sees of the table.
  private func begin(seenBy holder: PQTransaction) async throws -> Target {
    let began = clock.now
    let target =
      switch stream.capture {
      case .trigger: try await cut(seenBy: holder)
      case .logical: try await cutLog(seenBy: holder)
      }
    let pause: Logger.Metadata = ["pause": "\(began.duration(to: clock.now))"]
    logger.info("The snapshot has begun", metadata: metadata(copied: 0).merging(pause) { first, _ in first })
    return target
  }

  private func cut(seenBy holder: PQTransaction) async throws -> Target {
    try await pool.transaction(isolation: .repeatableRead) { transaction in
      // Before anything is seen, so that all is seen that was sequenced. Whoever has the turn may wait for the table, which
      // is locked already.
      try await transaction.execute("SET LOCAL lock_timeout = '1s'")
      try await transaction.execute(
        "LOCK TABLE tidemark.\(identifier: "turn_\(stream.id)") IN SHARE UPDATE EXCLUSIVE MODE"
      )
      try await transaction.execute("SET LOCAL lock_timeout TO DEFAULT")
      let (partition, starts, ordinals) = try await transaction.query(
        """
        SELECT partition_ordinal, starts, ordinals FROM tidemark.begin_snapshot(\(stream.id), \(application))
        """
      )[0].decode((Int64, [Int64], [Int32]).self)
      try await holder.seeing(what: transaction)
      return Target(partition: partition, hashStarts: starts, shardOrdinals: ordinals)
    }
  }

  private func copy(_ source: Int64, to target: Target, seenBy holder: PQTransaction) async throws
    -> Int64
  {
    let parts = try await holder.query(
      """
      SELECT c.oid::bigint, pg_relation_size(c.oid) / current_setting('block_size')::bigint FROM pg_class c
      WHERE c.relkind = 'r' AND (c.oid = \(source)::bigint
        OR c.oid IN (SELECT p.relid FROM pg_partition_tree(\(source)::bigint::oid) p))
      ORDER BY c.oid
      """
    ).map { try $0.decode((Int64, Int64).self) }
    var copied: Int64 = 0
    var reported = clock.now
    for (part, blocks) in parts {
      for first in stride(from: 0, to: blocks, by: Int(Self.blocksAtOnce)) {
        copied += try await pool.transaction(isolation: .repeatableRead) { copying in
          try await copying.seeing(what: holder)
          return try await copying.query(
            """
            SELECT tidemark.\(identifier: "copy_\(stream.id)")(\(target.partition), \(target.hashStarts), \(target.shardOrdinals),
              \(copied), \(part)::bigint::oid::regclass, \(first), \(min(first + Self.blocksAtOnce, blocks)))
            """
          )[0].decode(Int64.self)
        }
        if reported.duration(to: clock.now) >= Self.reportInterval {
          reported = clock.now
          logger.info("Copying rows for the snapshot", metadata: metadata(copied: copied))
        }
      }
    }
    return copied
  }

  private func complete(_ count: Int64, on connection: PQConnection) async throws -> Bool {
    try await connection.query(
      "SELECT tidemark.complete_snapshot(\(stream.id), \(application), \(count))"
    )[0].decode(Bool.self)
  }

  func metadata(copied: Int64) -> Logger.Metadata {
    ["stream": "\(stream.fullName)", "application": "\(application)", "rows": "\(copied)"]
  }
}

extension PQTransaction {
  /// Sees from now on what `other` sees, without what that has written itself. Nothing must have been read here before.
  fileprivate func seeing(what other: PQTransaction) async throws {
    try await see(try await other.query("SELECT pg_export_snapshot()")[0].decode(String.self))
  }

  /// Sees from now on what was exported under the name. Nothing must have been read here before.
  func see(_ moment: String) async throws {
    // The statement takes no parameter; the name is the server's own, of digits and dashes.
    try await executeScript("SET TRANSACTION SNAPSHOT '\(moment)'")
  }
}
