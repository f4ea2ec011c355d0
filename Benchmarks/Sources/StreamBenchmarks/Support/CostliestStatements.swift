import BenchmarkSupport
import LibPQ

/// Prints which statements took most of the server's time since `pg_stat_statements` was reset.
func printCostliestStatements(_ count: Int, on pool: PQPool) async throws {
  let rows = try await pool.query(
    """
    SELECT calls, total_exec_time, left(regexp_replace(query, '\\s+', ' ', 'g'), 90) FROM pg_stat_statements
    WHERE toplevel ORDER BY total_exec_time DESC LIMIT \(count)
    """
  )
  for row in rows {
    let (calls, time, query) = try row.decode((Int64, Double, String).self)
    print("    \(Int(calls).grouped) calls, \(Int(time).grouped) ms: \(query)")
  }
}
