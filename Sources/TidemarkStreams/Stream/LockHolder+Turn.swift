import LibPQ
import TidemarkPostgres

extension LockHolder {
  /// The session that has the turn to give out a stream's numbers.
  static func ofTurn(of stream: Int32, on pool: PQPool) async throws -> [LockHolder] {
    let condition = """
      l.mode <> 'AccessShareLock' AND l.relation = (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'tidemark' AND c.relname = 'turn_' || $1)
      """
    return try await found(PQStatement(locking(condition), String(stream)), on: pool)
  }
}
