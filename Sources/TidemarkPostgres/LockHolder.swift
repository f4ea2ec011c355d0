import LibPQ
import Logging

/// A session or a prepared transaction that others wait for.
package struct LockHolder: Sendable, Hashable {
  package var description: String
  /// What ends it.
  package var remedy: String

  /// The sessions that hold a lock on a table for which writers or `ALTER TABLE` have to wait.
  package static func of(table: Int64, on pool: PQPool) async throws -> [LockHolder] {
    try await found(PQStatement(locking("l.relation = $1::bigint::oid"), table), on: pool)
  }

  /// The sessions that have had a lock for some time on what a schema has, or on a table that calls its functions.
  package static func of(schema: String, on pool: PQPool) async throws -> [LockHolder] {
    let condition = """
      l.relation IN (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1
        UNION
        SELECT t.tgrelid FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
          JOIN pg_namespace n ON n.oid = f.pronamespace WHERE n.nspname = $1)
      AND coalesce(a.xact_start, p.prepared) < clock_timestamp() - interval '500 milliseconds'
      """
    return try await found(PQStatement(locking(condition), schema), on: pool)
  }

  /// Those that hold a lock `l` on a table of this database, by a session `a` or a prepared transaction `p`.
  package static func locking(_ condition: String) -> String {
    """
    SELECT DISTINCT \(columns)
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL
      AND p.transaction::text = split_part(l.virtualtransaction, '/', 2)
    WHERE l.locktype = 'relation' AND l.granted AND \(condition)
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND \(isKnown)
    """
  }

  /// For whose transaction a session waits now, that it may go on.
  package static func blocking(_ pid: Int32, on pool: PQPool) async throws -> [LockHolder] {
    try await found(
      PQStatement(
        """
        SELECT DISTINCT \(columns)
        FROM pg_locks w JOIN pg_locks h ON h.granted AND h.pid IS DISTINCT FROM w.pid
          AND h.transactionid = w.transactionid
        LEFT JOIN pg_stat_activity a ON a.pid = h.pid LEFT JOIN pg_prepared_xacts p ON p.transaction = h.transactionid
        WHERE w.pid = $1 AND NOT w.granted AND \(isKnown)
        """,
        pid
      ),
      on: pool
    )
  }

  /// The transactions of the server that have written and are older than the one with this number (`xid8`).
  package static func writing(before transaction: String, on pool: PQPool) async throws -> [LockHolder] {
    try await found(
      PQStatement(
        """
        SELECT DISTINCT \(columns)
        FROM pg_locks h LEFT JOIN pg_stat_activity a ON a.pid = h.pid
        LEFT JOIN pg_prepared_xacts p ON p.transaction = h.transactionid
        WHERE h.locktype = 'transactionid' AND h.mode = 'ExclusiveLock' AND h.granted
          AND age(h.transactionid) > age($1::text::xid8::xid) AND \(isKnown)
        """,
        transaction
      ),
      on: pool
    )
  }

  /// The sessions that wait for one that has locked a table or its partitions.
  package static func waiting(for pid: Int32, of table: Int64, on pool: PQPool) async throws
    -> [LockHolder]
  {
    try await found(
      PQStatement(
        """
        SELECT DISTINCT \(columns)
        FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        LEFT JOIN pg_prepared_xacts p ON false
        WHERE l.locktype = 'relation' AND NOT l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND (l.relation = $1::bigint::oid
            OR l.relation IN (SELECT t.relid FROM pg_partition_tree($1::bigint::oid::regclass) t))
          AND $2::integer = ANY (pg_blocking_pids(l.pid)) AND \(isKnown)
        """,
        table,
        pid
      ),
      on: pool
    )
  }

  /// Of `a` in `pg_stat_activity` or `p` in `pg_prepared_xacts`. What this role may not see is left out.
  package static let columns = """
    CASE WHEN p.gid IS NOT NULL THEN format('the prepared transaction %L (database %s, owner %s, since %s)', p.gid,
        p.database, p.owner, date_trunc('second', p.prepared))
      ELSE format('the process %s (%s)', a.pid, concat_ws(', ', 'database ' || a.datname, 'role ' || a.usename,
        'application ' || quote_literal(a.application_name), coalesce(a.state, 'state not shown to this role'),
        'transaction since ' || date_trunc('second', a.xact_start))) END AS description,
    CASE WHEN p.gid IS NOT NULL THEN format('ROLLBACK PREPARED %L (or COMMIT PREPARED) in the database %s', p.gid,
        p.database)
      ELSE format('SELECT pg_terminate_backend(%s)', a.pid) END AS remedy
    """

  /// Whether it is still there.
  private static let isKnown = "(a.pid IS NOT NULL OR p.gid IS NOT NULL)"

  package static func found(_ statement: PQStatement, on pool: PQPool) async throws
    -> [LockHolder]
  {
    try await pool.query(statement).map { row in
      let (description, remedy) = try row.decode((String, String).self)
      return LockHolder(description: description, remedy: remedy)
    }
  }
}

extension [LockHolder] {
  package var list: String { map(\.description).joined(separator: ", ") }
  package var advice: String {
    "Wait for the end of that, or end it: \(map(\.remedy).joined(separator: "; "))"
  }
  package var metadata: Logger.Metadata { ["held by": "\(list)", "advice": "\(advice)"] }
}
