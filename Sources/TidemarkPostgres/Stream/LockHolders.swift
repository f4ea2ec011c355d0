import Logging
import PostgresClient
import Tidemark

/// Sessions that others wait for, in words.
enum LockHolders {
  /// A session, or a prepared transaction, as a text: columns `pid`, `usename`, `application_name`, `state`,
  /// `xact_start` of `a`, and `p` of `pg_prepared_xacts`.
  private static let text = """
    CASE WHEN p.gid IS NOT NULL THEN format('the prepared transaction %L of the role %s, since %s', p.gid, p.owner,
        date_trunc('second', p.prepared))
      ELSE format('the process %s (role %s, application %L, %s, transaction since %s)', a.pid, a.usename,
        a.application_name, coalesce(a.state, 'state not shown to this role'), date_trunc('second', a.xact_start)) END
    """

  /// Who holds a lock on a table that writers or `ALTER TABLE` have to wait for.
  static func of(table: Int64, on pool: PostgresPool) async throws -> [String] {
    try await pool.query(
      PostgresStatement(
        """
        SELECT DISTINCT \(text)
        FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL
          AND p.transaction::text = split_part(l.virtualtransaction, '/', 2)
        WHERE l.locktype = 'relation' AND l.relation = $1::bigint::oid AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        """,
        table
      )
    ).map { try $0.decode(String.self) }
  }

  /// For whom a session waits now, that it may go on.
  static func blocking(_ pid: Int32, on pool: PostgresPool) async throws -> [String] {
    try await pool.query(
      PostgresStatement(
        """
        SELECT DISTINCT \(text)
        FROM pg_locks w JOIN pg_locks h ON h.granted AND h.pid IS DISTINCT FROM w.pid
          AND h.transactionid = w.transactionid
        LEFT JOIN pg_stat_activity a ON a.pid = h.pid LEFT JOIN pg_prepared_xacts p ON p.transaction = h.transactionid
        WHERE w.pid = $1 AND NOT w.granted
        """,
        pid
      )
    ).map { try $0.decode(String.self) }
  }

  /// Who waits for a session that has locked a table or its partitions.
  static func waiting(for pid: Int32, of table: Int64, on pool: PostgresPool) async throws -> [String] {
    try await pool.query(
      PostgresStatement(
        """
        SELECT DISTINCT \(text)
        FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        LEFT JOIN pg_prepared_xacts p ON false
        WHERE l.locktype = 'relation' AND NOT l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND (l.relation = $1::bigint::oid
            OR l.relation IN (SELECT t.relid FROM pg_partition_tree($1::bigint::oid::regclass) t))
          AND $2::integer = ANY (pg_blocking_pids(l.pid))
        """,
        table,
        pid
      )
    ).map { try $0.decode(String.self) }
  }
}

/// How a lock on a user's table is taken that others may hold for long. Whoever comes after a statement that waits has
/// to wait, too: so each attempt is short (the functions' own `lock_timeout`), and between two attempts nobody waits.
struct TableLock {
  /// All attempts together.
  static let patience = Duration.seconds(10)

  let table: Int64?
  /// What needs the lock, for the log: "Disabling the stream orders".
  let purpose: String
  let pool: PostgresPool
  let logger: Logger
  var clock: any MonotonicClock = ContinuousClock()

  /// Runs `body` until it has got its locks.
  ///
  /// - Throws: `sourceUnavailable` that names who holds the lock.
  func taking<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    let deadline = clock.now.advanced(by: Self.patience)
    var pause = DoublingDelay(from: .milliseconds(100), to: .seconds(2))
    var isTold = false
    while true {
      do {
        return try await body()
      } catch let error as PostgresError where error.sqlState == "55P03" {
        let holders = try await holders()
        if clock.now >= deadline { throw unavailable(holders, error) }
        if !isTold {
          isTold = true
          logger.warning("\(purpose) waits for a lock on the table", metadata: ["held by": "\(holders)"])
        }
        try await clock.sleep(for: pause.next())
      }
    }
  }

  private func holders() async throws -> String {
    guard let table else { return "" }
    return try await LockHolders.of(table: table, on: pool).joined(separator: ", ")
  }

  private func unavailable(_ holders: String, _ error: PostgresError) -> TidemarkError {
    TidemarkError(
      .sourceUnavailable,
      "\(purpose) did not get a lock on the table within \(Self.patience)"
        + (holders.isEmpty ? "." : ": it is held by \(holders)."),
      advice: "Wait for the end of that transaction or end it (pg_terminate_backend), and try again. "
        + "Nothing has changed.",
      underlying: error
    )
  }
}
