import LibPQ
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
        try await Self.refuseWorkers(in: scope, transaction)
        _ = try await transaction.query(
          "SELECT tidemark_leases.delete_leases(\(scope.application), \(scope.stream), false)"
        )
      }
    }
  }

  /// Deletes all that is kept for an application: leases, workers and dead letters. When it is started again, it is a new
  /// one.
  ///
  /// - Parameter stream: The only stream to do so on, by its full name, or its short one, which means all of that name.
  /// - Returns: the scopes that were there.
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` while one of its workers lives; then nothing is deleted.
  @discardableResult
  public func deleteApplication(_ application: String, stream: String? = nil) async throws -> [LeaseScope] {
    try await write {
      try await pool.transaction { transaction in
        // A worker that registers waits for this.
        let scopes = try await transaction.query(
          """
          SELECT stream FROM tidemark_leases.lease_scope
          WHERE application = \(application)
            AND coalesce(stream = \(stream) OR starts_with(stream, \(stream) || '/'), true)
          ORDER BY stream FOR UPDATE
          """
        ).map { LeaseScope(application: application, stream: try $0.decode(String.self)) }
        for scope in scopes {
          try await Self.refuseWorkers(in: scope, transaction)
          _ = try await transaction.query(
            "SELECT tidemark_leases.delete_leases(\(scope.application), \(scope.stream), true)"
          )
        }
        return scopes
      }
    }
  }

  /// The ids of the workers that live, of all applications.
  public func livingWorkers() async throws -> [String] {
    try await read {
      try await pool.query(
        """
        SELECT worker_id FROM tidemark_leases.worker
        WHERE state <> 'dead' AND heartbeat_at + failover_interval > clock_timestamp() ORDER BY worker_id
        """
      ).map { try $0.decode(String.self) }
    }
  }

  private static func refuseWorkers(in scope: LeaseScope, _ transaction: PQTransaction) async throws {
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
  }
}
