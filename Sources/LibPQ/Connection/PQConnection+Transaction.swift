import CLibPQ

extension PQConnection {
  /// Runs `body` in a transaction: commits when it returns, rolls back when it throws or its task is cancelled.
  ///
  /// Other callers wait meanwhile; so `body` must not use the connection itself, only the transaction.
  ///
  /// - Throws: What `body` threw; or a ``PQError``. When the connection is lost during COMMIT its
  ///   ``PQError/isOutcomeUnknown`` is true; when lost before, nothing was written.
  @discardableResult
  public nonisolated(nonsending) func transaction<Result>(
    isolation: PQIsolation = .readCommitted,
    readOnly: Bool = false,
    _ body: (PQTransaction) async throws -> Result
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
  private func begin(_ isolation: PQIsolation, _ readOnly: Bool) async throws -> PQTransaction {
    try await takeTurn()
    do {
      let statement = "BEGIN ISOLATION LEVEL \(isolation.rawValue)\(readOnly ? " READ ONLY" : "")"
      _ = try await run([PQStatement(statement)], prepares: false, isInTransaction: true)
      return PQTransaction(connection: self)
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
      throw PQError.cancelled
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
      throw PQError(
        .server,
        "A statement of the transaction failed, so it was rolled back. Let the statement's error be thrown on.",
        sqlState: "25P02"
      )
    default:
      throw PQError(.misuse, "The body ended the transaction by itself. Leave COMMIT to transaction().")
    }
  }
}
