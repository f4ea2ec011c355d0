import CLibPQ

extension PostgresConnection {
  /// Runs `body` in a transaction: commits when it returns, rolls back when it throws or its task is cancelled.
  ///
  /// Other callers wait meanwhile; so `body` must not use the connection itself, only the transaction.
  ///
  /// - Throws: What `body` threw; or a ``PostgresError``. When the connection is lost during COMMIT its
  ///   ``PostgresError/isOutcomeUnknown`` is true; when lost before, nothing was written.
  @discardableResult
  public nonisolated(nonsending) func transaction<Result>(
    isolation: PostgresIsolation = .readCommitted,
    readOnly: Bool = false,
    _ body: (PostgresTransaction) async throws -> Result
  ) async throws -> Result {
    let transaction = try await begin(isolation, readOnly)
    defer { turns.release() }
    let result: Result
    do {
      let connections = Self.connectionsOfTransactions.union([ObjectIdentifier(self)])
      result = try await Self.$connectionsOfTransactions.withValue(connections) {
        try await body(transaction)
      }
    } catch {
      await transaction.end()
      await rollBack()
      throw error
    }
    await transaction.end()
    try await commit()
    transaction.commitActions.perform()
    return result
  }

  /// The turn is kept when this returns, given back when it throws.
  private func begin(_ isolation: PostgresIsolation, _ readOnly: Bool) async throws -> PostgresTransaction {
    try await takeTurn()
    do {
      let statement = "BEGIN ISOLATION LEVEL \(isolation.rawValue)\(readOnly ? " READ ONLY" : "")"
      _ = try await run([PostgresStatement(statement)], prepares: false, isInTransaction: true)
      return PostgresTransaction(connection: self)
    } catch {
      if failure == nil, !isIdle { await rollBack() }
      turns.release()
      throw error
    }
  }

  private func commit() async throws {
    try checkUsable()
    if Task.isCancelled {
      await rollBack()
      throw PostgresError.cancelled
    }
    switch handle.transactionStatus {
    case PQTRANS_INTRANS:
      // Not marked as inside the transaction: this is the statement whose outcome can be unknown.
      do {
        _ = try await run(["COMMIT"], prepares: false)
      } catch {
        if failure == nil, !isIdle { await rollBack() }
        throw error
      }
    case PQTRANS_INERROR:
      // The server would answer COMMIT with a silent ROLLBACK.
      await rollBack()
      throw PostgresError(
        .server,
        "A statement of the transaction failed, so it was rolled back. Let the statement's error be thrown on.",
        sqlState: "25P02"
      )
    default:
      throw PostgresError(.misuse, "The body ended the transaction by itself. Leave COMMIT to transaction().")
    }
  }
}
