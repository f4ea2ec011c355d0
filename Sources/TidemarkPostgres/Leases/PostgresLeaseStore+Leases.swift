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
        INSERT INTO tidemark_leases.lease_scope AS s (application, change_version)
        SELECT $1, 1 WHERE EXISTS (SELECT FROM new)
        ON CONFLICT (application) DO UPDATE SET change_version = s.change_version + 1
      )
      SELECT pg_notify(tidemark_leases.lease_channel($1), '') FROM new
      """,
      scope.application,
      try NewLeases.json(leases)
    )
    return try await write { try await pool.query(statement).count }
  }

  public func leases(in scope: LeaseScope) async throws -> [Lease] {
    try await read(PQStatement(Self.leasesOfScope + "ORDER BY l.stream, l.shard_id", scope.application))
  }

  public func leases(ownedBy incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> [Lease] {
    try await read(
      PQStatement(
        Self.leasesOfScope + "AND l.owner = $2 ORDER BY l.stream, l.shard_id",
        scope.application,
        incarnation.number
      )
    )
  }

  public func lease(_ key: LeaseKey, in scope: LeaseScope) async throws -> Lease? {
    try await read(Self.select(key, scope)).first
  }

  private static func select(_ key: LeaseKey, _ scope: LeaseScope) -> PQStatement {
    PQStatement(
      leasesOfScope + "AND l.stream = $2 AND l.shard_id = $3",
      scope.application,
      key.stream,
      key.shardID
    )
  }

  private static let leasesOfScope = """
    SELECT \(Lease.columns) FROM \(Lease.tables)
    WHERE l.application = $1\u{20}
    """

  private func read(_ statement: PQStatement) async throws -> [Lease] {
    try await read { try await pool.query(statement).map { try Lease($0) } }
  }

  // MARK: Operators

  public func reset(
    _ key: LeaseKey,
    in scope: LeaseScope,
    to checkpoint: Checkpoint?
  ) async throws -> Lease {
    let change = try checkpoint.map { try reset(key, in: scope, to: StoredCheckpoint($0)) }
    let results = try await write {
      try await pool.pipeline([
        change
          ?? """
          UPDATE tidemark_leases.lease SET stopped_reason = NULL, updated_at = clock_timestamp()
          WHERE application = \(scope.application) AND stream = \(key.stream) AND shard_id = \(key.shardID)
          """,
        PlanningStatements.noteChange(of: scope),
        HeartbeatStatements.notify(scope),
        Self.select(key, scope),
      ])
    }
    guard let row = results[3].first else {
      throw TidemarkError(
        .leaseNotFound,
        "\(scope) has no lease for shard \(key).",
        advice: "List the leases to see which there are."
      )
    }
    return try Lease(row)
  }

  /// The last owner is forgotten: it lost the lease and did not give it up, and its own late transfer must not
  /// look like a success.
  private func reset(
    _ key: LeaseKey,
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
    WHERE application = \(scope.application) AND stream = \(key.stream) AND shard_id = \(key.shardID)
    """
  }

  /// Deletes of the leases named those that nobody needs any more: the shard is read to its end, every child is
  /// being read from a position of its own, and no lease of a parent is left that could start them again.
  public func deleteEndedLeases(_ keys: [LeaseKey], in scope: LeaseScope) async throws {
    _ = try await write {
      try await pool.query(
        """
        SELECT tidemark_leases.delete_ended_leases(
          \(scope.application), \(keys.map(\.stream)), \(keys.map(\.shardID)))
        """
      )
    }
  }
}
