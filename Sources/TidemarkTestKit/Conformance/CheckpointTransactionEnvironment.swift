import Tidemark

/// What ``CheckpointTransactionConformance`` needs: a lease store, and transactions in its database.
public protocol CheckpointTransactionEnvironment: LeaseStoreEnvironment {
  /// Runs `body` in a transaction that also writes `effect`, a text that no other call has.
  ///
  /// - Throws: what `body` throws, after rolling back; or that the transaction could not commit.
  func transaction(
    writing effect: String,
    _ body: @escaping @Sendable (any CheckpointTransaction) async throws -> Void
  ) async throws

  /// Whether the effect was committed.
  func hasCommitted(_ effect: String) async throws -> Bool

  /// Whether transactions perform ``Tidemark/CheckpointTransaction/onCommit(_:)``.
  var confirmsCommits: Bool { get }
}
