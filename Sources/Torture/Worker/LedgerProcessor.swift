import FleetDrill
import LibPQ
import Tidemark
import TidemarkPostgres

/// Writes what it handles into a table, in the transaction that moves the checkpoint: exactly once.
struct LedgerProcessor: RecordProcessor {
  let pool: PQPool

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    let changes = try batch.compactMap { try $0.change.map { try OrderChange($0) } }
    try await pool.transaction { transaction in
      let statements = changes.map { change -> PQStatement in
        """
        INSERT INTO ledger (id, event, version)
        VALUES (\(change.order), \(change.event.rawValue), \(change.version))
        """
      }
      if !statements.isEmpty { _ = try await transaction.pipeline(statements) }
      try await checkpointer.checkpoint(in: transaction)
    }
  }
}
