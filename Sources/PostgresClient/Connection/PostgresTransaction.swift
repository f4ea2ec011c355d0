import Synchronization

/// An open transaction, valid inside the body that it was given to.
public struct PostgresTransaction: PostgresQueryable {
  let connection: PostgresConnection
  /// The connection's turn is the transaction's; this orders the statements within it.
  let turns = FairQueue(permits: 1)

  /// - Throws: ``PostgresError`` with ``PostgresError/Code/misuse`` when the transaction is over.
  public func query(_ statement: PostgresStatement) async throws -> PostgresRows {
    try await pipeline([statement])[0]
  }

  public func pipeline(_ statements: [PostgresStatement]) async throws -> [PostgresRows] {
    try await turns.acquire()
    defer { turns.release() }
    return try await connection.run(statements, isInTransaction: true)
  }

  /// Runs SQL text that may hold several statements; it returns no rows.
  public func executeScript(_ sql: String) async throws {
    try await turns.acquire()
    defer { turns.release() }
    try await connection.runScript(sql, isInTransaction: true)
  }

  /// Waits for a statement that still runs, and lets no other begin.
  nonisolated(nonsending) func end() async {
    try? await turns.acquire(isShielded: true)
    turns.close(
      PostgresError(.misuse, "The transaction is over. Use it only inside the body that it was given to.")
    )
  }
}
