/// What statements can be sent to: a connection, a transaction, a pool.
public protocol PostgresQueryable: Sendable {
  /// Runs one statement and returns all its rows.
  func query(_ statement: PostgresStatement) async throws -> PostgresRows

  /// Runs one statement and returns how many rows it touched.
  @discardableResult
  func execute(_ statement: PostgresStatement) async throws -> Int

  /// Runs all statements in one round trip and returns their results in order.
  ///
  /// Outside a transaction they are one transaction of their own, unless they hold BEGIN and COMMIT. After the
  /// first error the server skips the rest, and that error is thrown.
  func pipeline(_ statements: [PostgresStatement]) async throws -> [PostgresRows]
}

extension PostgresQueryable {
  public func query(_ statement: PostgresStatement) async throws -> PostgresRows {
    try await pipeline([statement])[0]
  }

  @discardableResult
  public func execute(_ statement: PostgresStatement) async throws -> Int {
    try await query(statement).affectedRows
  }
}
