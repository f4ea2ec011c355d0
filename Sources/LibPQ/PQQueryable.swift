/// What statements can be sent to: a connection, a transaction, a pool.
///
/// The calls run where their caller does (`nonisolated(nonsending)`): a way over the global pool would cost two
/// hand-overs between threads for each statement.
public protocol PQQueryable: Sendable {
  /// Runs one statement and returns all its rows.
  nonisolated(nonsending) func query(_ statement: PQStatement) async throws -> PQRows

  /// Runs one statement and returns how many rows it touched.
  @discardableResult
  nonisolated(nonsending) func execute(_ statement: PQStatement) async throws -> Int

  /// Runs all statements in one round trip and returns their results in order.
  ///
  /// Outside a transaction they are one transaction of their own, unless they hold BEGIN and COMMIT. After the
  /// first error the server skips the rest, and that error is thrown.
  nonisolated(nonsending) func pipeline(_ statements: [PQStatement]) async throws -> [PQRows]
}

extension PQQueryable {
  public nonisolated(nonsending) func query(_ statement: PQStatement) async throws -> PQRows {
    try await pipeline([statement])[0]
  }

  @discardableResult
  public nonisolated(nonsending) func execute(_ statement: PQStatement) async throws -> Int {
    try await query(statement).affectedRows
  }
}
