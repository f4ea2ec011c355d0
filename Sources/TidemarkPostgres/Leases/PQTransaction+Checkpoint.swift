import LibPQ
import Tidemark

/// A transaction in the database that has the leases.
extension PQTransaction: CheckpointTransaction {
  /// - Throws: PostgreSQL's own errors, since it is the caller who can repeat the transaction.
  public func write(_ write: CheckpointWrite, mustAdvance: Bool) async throws -> WriteOutcome {
    let grant = write.grant
    let checkpoint = try StoredCheckpoint(write.checkpoint)
    let from = try StoredCheckpoint(write.from)
    do {
      try await execute(
        """
        SELECT tidemark_leases.checkpoint(
          \(grant.scope.application), \(grant.stream), \(grant.shardID), \(grant.owner.number),
          \(grant.epoch.number), \(checkpoint.text), \(checkpoint.subSequenceNumber), \(mustAdvance),
          \(from.text), \(from.subSequenceNumber))
        """
      )
      return .accepted
    } catch let error as PQError where error.sqlState == "TM006" {
      return .leaseLost
    } catch let error as PQError where error.sqlState == "TM007" {
      return .wouldGoBack
    }
  }
}
