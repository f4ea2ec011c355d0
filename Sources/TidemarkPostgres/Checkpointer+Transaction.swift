import LibPQ
import Tidemark

extension Checkpointer {
  /// Moves the checkpoint in the caller's own transaction, to the last record that the processor was given.
  ///
  /// The checkpoint commits with the caller's other writes or not at all, and is refused if the lease has
  /// changed hands, which takes those writes back as well: the effects in this database happen exactly once.
  /// The lease cannot change hands between this call and the end of the transaction.
  ///
  /// The transaction must be in the database that has the leases. Let its error, and this call's, end the
  /// transaction and leave `process`: after a COMMIT that was not answered the worker reads the lease before it gives
  /// anything again, and what the transaction has done all the same cannot be done twice.
  ///
  /// - Throws: ``TidemarkError/Code/leaseLost``; ``TidemarkError/Code/checkpointOutOfRange`` if a transaction whose
  ///   outcome was unknown turns out to have passed the record; or PostgreSQL's own error.
  public func checkpoint(in transaction: PQTransaction) async throws {
    try await checkpoint(at: handedOut, in: transaction)
  }

  /// Moves the checkpoint to `record` in the caller's own transaction.
  public func checkpoint(at record: Record, in transaction: PQTransaction) async throws {
    try await checkpoint(at: record.checkpoint, in: transaction)
  }

  private func checkpoint(at checkpoint: Checkpoint, in transaction: PQTransaction) async throws {
    try validate(checkpoint)
    // It is noted as committed when the COMMIT is confirmed. Where it is not, the worker asks the lease table how far
    // the checkpoint got.
    let write = CheckpointWrite(grant: grant, checkpoint: checkpoint, from: committed)
    let isNew = isNew(checkpoint)
    let outcome = try await PostgresLeaseStore.checkpoint(write, in: transaction, mustAdvance: isNew)
    if isNew, outcome == .wouldGoBack {
      throw TidemarkError(
        .checkpointOutOfRange,
        "A transaction of \(grant) whose outcome is unknown passed \(checkpoint) already.",
        advice:
          "Let this error undo the transaction and leave process; the worker goes on behind what is done."
      )
    }
    try await notingLoss { try outcome.orThrow(for: grant) }
    noteAsked(checkpoint)
    transaction.onCommit { self.noteCommitted(checkpoint) }
  }
}
