import PostgresClient
import TidemarkPostgres

extension LockHolder {
  /// Who has the turn to give out a stream's numbers.
  static func ofTurn(of stream: Int32, on pool: PostgresPool) async throws -> [LockHolder] {
    try await found(
      PostgresStatement(
        """
        SELECT DISTINCT \(columns)
        FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL
          AND p.transaction::text = split_part(l.virtualtransaction, '/', 2)
        JOIN pg_class c ON c.oid = l.relation AND c.relname = 'turn_' || $1::text
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'tidemark'
        WHERE l.locktype = 'relation' AND l.granted AND l.mode <> 'AccessShareLock'
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND \(isKnown)
        """,
        String(stream)
      ),
      on: pool
    )
  }
}
