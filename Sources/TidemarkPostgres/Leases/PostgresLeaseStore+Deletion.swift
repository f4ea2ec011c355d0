import PostgresClient
import Tidemark

extension PostgresLeaseStore {
  /// Deletes all leases of a scope. Its workers, once they are started again, begin as the first ones did.
  ///
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` while one of its workers lives.
  public func deleteLeases(in scope: LeaseScope) async throws {
    try await write {
      try await pool.transaction { transaction in
        // A worker that registers waits for this.
        _ = try await transaction.query(
          """
          SELECT FROM tidemark_leases.lease_scope
          WHERE application = \(scope.application) AND stream = \(scope.stream) FOR UPDATE
          """
        )
        let living = try await transaction.query(
          """
          SELECT worker_id FROM tidemark_leases.worker
          WHERE application = \(scope.application) AND stream = \(scope.stream) AND state <> 'dead'
            AND heartbeat_at + failover_interval > clock_timestamp() ORDER BY worker_id
          """
        ).map { try $0.decode(String.self) }
        guard living.isEmpty else {
          throw TidemarkError(
            .invalidConfiguration,
            "The application \(scope.application) is at work on \(scope.stream): \(living.joined(separator: ", ")).",
            advice: "Stop its workers first."
          )
        }
        for table in ["lease", "lease_load", "worker"] {
          try await transaction.execute(
            """
            DELETE FROM tidemark_leases.\(identifier: table)
            WHERE application = \(scope.application) AND stream = \(scope.stream)
            """
          )
        }
      }
    }
  }
}
