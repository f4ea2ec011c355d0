import LibPQ
import Tidemark

extension PostgresLeaseStore {
  public func createLeases(_ leases: [NewLease], in scope: LeaseScope) async throws -> Int {
    if leases.isEmpty { return 0 }
    let statement = PQStatement(
      """
      WITH new AS (
        \(NewLeases.insert) ON CONFLICT (application, stream, shard_id) DO NOTHING RETURNING shard_id
      ), noted AS (
        INSERT INTO tidemark_leases.lease_scope AS s (application, stream, change_version)
        SELECT $1, $2, 1 WHERE EXISTS (SELECT FROM new)
        ON CONFLICT (application, stream) DO UPDATE SET change_version = s.change_version + 1
      )
      SELECT pg_notify(tidemark_leases.lease_channel($1, $2), '') FROM new
      """,
      scope.application,
      scope.stream,
      try NewLeases.json(leases)
    )
    return try await write { try await pool.query(statement).count }
  }

  public func leases(in scope: LeaseScope) async throws -> [Lease] {
    try await read(Self.select("ORDER BY l.shard_id", scope))
  }

  public func leases(ownedBy incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> [Lease] {
    try await read(Self.select("AND l.owner = $3 ORDER BY l.shard_id", scope, incarnation.number))
  }

  public func lease(_ shardID: String, in scope: LeaseScope) async throws -> Lease? {
    try await read(Self.select("AND l.shard_id = $3", scope, shardID)).first
  }

  private static func select(_ rest: String, _ scope: LeaseScope) -> PQStatement {
    PQStatement(leasesOfScope + rest, scope.application, scope.stream)
  }

  private static func select(
    _ rest: String,
    _ scope: LeaseScope,
    _ value: some PQEncodable
  ) -> PQStatement {
    PQStatement(leasesOfScope + rest, scope.application, scope.stream, value)
  }

  private static let leasesOfScope = """
    SELECT \(Lease.columns) FROM \(Lease.tables)
    WHERE l.application = $1 AND l.stream = $2\u{20}
    """

  private func read(_ statement: PQStatement) async throws -> [Lease] {
    try await read { try await pool.query(statement).map { try Lease($0) } }
  }

  // MARK: Operators

  public func reset(
    _ shardID: String,
    in scope: LeaseScope,
    to checkpoint: Checkpoint?
  ) async throws -> Lease {
    let change = try checkpoint.map { try reset(shardID, in: scope, to: StoredCheckpoint($0)) }
    let results = try await write {
      try await pool.pipeline([
        change
          ?? """
          UPDATE tidemark_leases.lease SET stopped_reason = NULL, updated_at = clock_timestamp()
          WHERE application = \(scope.application) AND stream = \(scope.stream) AND shard_id = \(shardID)
          """,
        PlanningStatements.noteChange(of: scope),
        HeartbeatStatements.notify(scope),
        Self.select("AND l.shard_id = $3", scope, shardID),
      ])
    }
    guard let row = results[3].first else {
      throw TidemarkError(
        .leaseNotFound,
        "\(scope) has no lease for shard \(shardID).",
        advice: "List the leases to see which there are."
      )
    }
    return try Lease(row)
  }

  /// The last owner is forgotten: it lost the lease and did not give it up, and its own late transfer must not
  /// look like a success.
  private func reset(
    _ shardID: String,
    in scope: LeaseScope,
    to checkpoint: StoredCheckpoint
  ) -> PQStatement {
    """
    UPDATE tidemark_leases.lease SET
      checkpoint = \(checkpoint.text), sub_sequence_number = \(checkpoint.subSequenceNumber),
      ended_at = CASE WHEN \(checkpoint.text) = 'SHARD_END' THEN clock_timestamp() END,
      owner = NULL, last_owner = NULL, last_epoch = NULL, left_epoch = NULL,
      epoch = greatest(epoch + 1, (SELECT tidemark_leases.epoch_floor())), child_shard_ids = '{}',
      pending_checkpoint = NULL, pending_sub_sequence_number = NULL, pending_state = NULL,
      handoff_to = NULL, handoff_deadline = NULL, stopped_reason = NULL, updated_at = clock_timestamp()
    WHERE application = \(scope.application) AND stream = \(scope.stream) AND shard_id = \(shardID)
    """
  }

  /// Deletes of the leases named those that nobody needs any more: the shard is read to its end, every child is
  /// being read from a position of its own, and no lease of a parent is left that could start them anew.
  public func deleteEndedLeases(_ shardIDs: [String], in scope: LeaseScope) async throws {
    _ = try await write {
      try await pool.query(
        "SELECT tidemark_leases.delete_ended_leases(\(scope.application), \(scope.stream), \(shardIDs))"
      )
    }
  }
}
