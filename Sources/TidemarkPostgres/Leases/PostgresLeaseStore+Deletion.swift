import LibPQ
import Tidemark

extension PostgresLeaseStore {
  /// Deletes all leases of an application on a stream. Its workers, once they are started again, begin as the first ones
  /// did.
  ///
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` while one of its workers lives that serves the stream.
  public func deleteLeases(of stream: String, in scope: LeaseScope) async throws {
    try await write {
      try await pool.transaction { transaction in
        try await Self.keepWorkersAway(from: scope, transaction)
        try await Self.refuseWorkers(of: scope, on: stream, transaction)
        _ = try await transaction.query(
          "SELECT tidemark_leases.delete_leases(\(scope.application), \(stream), false)"
        )
      }
    }
  }

  /// Deletes all that is kept for an application: leases, workers and dead letters. When it is started again, it is a new
  /// one.
  ///
  /// - Parameter stream: The only stream to do so on, by its full name, or its short one, which means all of that name.
  ///   Then workers may live that do not serve it.
  /// - Returns: the streams that it had something on.
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` while one of its workers lives; then nothing is deleted.
  @discardableResult
  public func deleteApplication(_ application: String, stream: String? = nil) async throws -> [String] {
    let scope = LeaseScope(application: application)
    return try await write {
      try await pool.transaction { transaction in
        try await Self.keepWorkersAway(from: scope, transaction)
        let streams = try await transaction.query(
          """
          SELECT stream FROM (
            SELECT stream FROM tidemark_leases.lease WHERE application = \(application)
            UNION SELECT stream FROM tidemark_leases.worker_stream WHERE application = \(application)
            UNION SELECT stream FROM tidemark_leases.dead_letter WHERE application = \(application)) AS named
          WHERE coalesce(stream = \(stream) OR starts_with(stream, \(stream) || '/'), true) ORDER BY stream
          """
        ).map { try $0.decode(String.self) }
        if stream == nil { try await Self.refuseWorkers(of: scope, on: nil, transaction) }
        for stream in streams {
          try await Self.refuseWorkers(of: scope, on: stream, transaction)
          _ = try await transaction.query(
            "SELECT tidemark_leases.delete_leases(\(application), \(stream), true)"
          )
        }
        if stream == nil {
          _ = try await transaction.query("SELECT tidemark_leases.forget_application(\(application))")
        }
        return streams
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

  /// A worker that registers waits for this transaction's end, and so does one that begins to serve another stream.
  private static func keepWorkersAway(from scope: LeaseScope, _ transaction: PQTransaction) async throws {
    _ = try await transaction.query(
      "SELECT FROM tidemark_leases.lease_scope WHERE application = \(scope.application) FOR UPDATE"
    )
  }

  /// - Parameter stream: `nil` for all.
  private static func refuseWorkers(
    of scope: LeaseScope,
    on stream: String?,
    _ transaction: PQTransaction
  ) async throws {
    let living = try await transaction.query(
      """
      SELECT w.worker_id FROM tidemark_leases.worker AS w
      WHERE w.application = \(scope.application) AND w.state <> 'dead'
        AND w.heartbeat_at + w.failover_interval > clock_timestamp() AND (\(stream)::text IS NULL OR EXISTS (
          SELECT FROM tidemark_leases.worker_stream AS v
          WHERE v.application = w.application AND v.incarnation = w.incarnation AND v.stream = \(stream)))
      ORDER BY w.worker_id
      """
    ).map { try $0.decode(String.self) }
    guard living.isEmpty else {
      let place = stream.map { " on \($0)" } ?? ""
      throw TidemarkError(
        .invalidConfiguration,
        "The application \(scope.application) is at work\(place): \(living.joined(separator: ", ")).",
        advice: "Stop its workers first."
      )
    }
  }
}
