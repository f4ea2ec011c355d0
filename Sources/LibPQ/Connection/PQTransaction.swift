import Synchronization

/// An open transaction, valid inside the body that it was given to.
///
/// Later every call throws ``PQError`` with ``PQError/Code/misuse``.
public struct PQTransaction: PQQueryable {
  let connection: PQConnection
  /// The connection's turn is the transaction's; this orders the statements within it.
  let turns = FairQueue(permits: 1)
  let commitActions = CommitActions()

  public nonisolated(nonsending) func pipeline(_ statements: [PQStatement]) async throws
    -> [PQRows]
  {
    try await turns.acquire()
    defer { turns.release() }
    return try await connection.run(statements, isInTransaction: true)
  }

  /// See ``PQConnection/executeScript(_:)``.
  public nonisolated(nonsending) func executeScript(_ sql: String) async throws {
    try await turns.acquire()
    defer { turns.release() }
    try await connection.runScript(sql, isInTransaction: true)
  }

  /// See ``PQConnection/copyIn(_:from:)``.
  public nonisolated(nonsending) func copyIn(
    _ statement: PQStatement,
    from chunks: some AsyncSequence<[UInt8], any Error> & Sendable
  ) async throws -> Int {
    try await turns.acquire()
    defer { turns.release() }
    return try await connection.runCopyIn(statement, from: chunks, isInTransaction: true)
  }

  /// See ``PQConnection/copyOut(_:_:)``.
  public nonisolated(nonsending) func copyOut(
    _ statement: PQStatement,
    _ body: ([UInt8]) async throws -> Void
  ) async throws {
    try await turns.acquire()
    defer { turns.release() }
    try await connection.runCopyOut(statement, isInTransaction: true, body)
  }

  /// Performs `action` once the server has confirmed the transaction's COMMIT, and never otherwise.
  public func onCommit(_ action: @escaping @Sendable () -> Void) {
    commitActions.add(action)
  }

  /// Waits for a statement that still runs, and lets no other begin.
  nonisolated(nonsending) func end() async {
    try? await turns.acquire(isShielded: true)
    turns.close(
      PQError(.misuse, "The transaction is over. Use it only inside the body that it was given to.")
    )
  }
}

/// What follows when a transaction has been committed.
final class CommitActions: Sendable {
  private let actions = Mutex<[@Sendable () -> Void]>([])

  func add(_ action: @escaping @Sendable () -> Void) { actions.withLock { $0.append(action) } }

  func perform() {
    for action in actions.withLock({ $0 }) { action() }
  }
}
