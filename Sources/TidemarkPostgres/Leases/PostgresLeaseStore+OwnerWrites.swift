import LibPQ
import Tidemark

/// Every write here names the owner and the epoch in its condition: no row, no right.
extension PostgresLeaseStore {
  /// Ends a shard, gives its lease up and adds its children, in one statement.
  public func endShard(
    _ grant: LeaseGrant,
    children: [Shard],
    restingOn ending: ShardEnding
  ) async throws -> WriteOutcome {
    let from = try StoredCheckpoint(ending.from)
    let statement = PQStatement(
      """
      WITH ended AS (
        UPDATE tidemark_leases.lease SET
          checkpoint = 'SHARD_END', sub_sequence_number = 0, ended_at = clock_timestamp(),
          child_shard_ids = $7,
          pending_checkpoint = NULL, pending_sub_sequence_number = NULL, pending_state = NULL,
          \(Self.releasing)
        WHERE \(Self.granted("$1", "$3", "$4", "$5", "$6")) AND \(Self.hasReached("$8", "$9"))
          AND ($10::bigint IS NULL OR tidemark_leases.known_history() = $10)
        RETURNING shard_id
      ), added AS (
        \(NewLeases.insert)
        WHERE EXISTS (SELECT FROM ended) AND NOT EXISTS (
          SELECT FROM unnest(n.parent_shard_ids) AS parent (id)
          WHERE NOT EXISTS (
            SELECT FROM tidemark_leases.lease AS p
            WHERE p.application = $1 AND p.stream = $3 AND p.shard_id = parent.id))
        ON CONFLICT (application, stream, shard_id) DO NOTHING
      ), \(Self.noting("ended"))
      SELECT pg_notify(tidemark_leases.lease_channel($1), '') FROM ended
      """,
      grant.scope.application,
      try NewLeases.json(
        children.map { NewLease(stream: grant.stream, shard: $0, checkpoint: $0.beginning) }
      ),
      grant.stream,
      grant.shardID,
      grant.owner.number,
      grant.epoch.number,
      children.map(\.id),
      from.text,
      from.subSequenceNumber,
      ending.history
    )
    return try await giveUp(grant, statement) { $0.hasEnded }
  }

  /// The epoch rises in the same statement that names the new owner, so there is no moment between.
  public func transfer(_ grant: LeaseGrant) async throws -> WriteOutcome {
    let isGiven = try await write {
      try await transfers.give(grant) { try await self.transfer($0) }
    }
    if isGiven { return .accepted }
    // Alone: it may have to wait for somebody's transaction, or have been done before.
    let statement = PQStatement(
      """
      WITH given AS (
        UPDATE tidemark_leases.lease AS l SET \(Self.naming)
        WHERE \(Self.granted("$1", "$2", "$3", "$4", "$5"))
        RETURNING shard_id
      ), \(Self.noting("given"))
      SELECT pg_notify(tidemark_leases.lease_channel($1), '') FROM given
      """,
      grant.scope.application,
      grant.stream,
      grant.shardID,
      grant.owner.number,
      grant.epoch.number
    )
    return try await giveUp(grant, statement) { !$0.hasEnded && !$0.isStopped }
  }

  /// - Returns: those that were given up. A lease that somebody has locked or changes just now is left alone.
  private func transfer(_ grants: [LeaseGrant]) async throws -> Set<LeaseGrant> {
    var given: Set<LeaseGrant> = []
    for (scope, grants) in Dictionary(grouping: grants, by: \.scope) {
      let statement = PQStatement(
        """
        WITH asked AS (
          SELECT l.ctid AS place
          FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS a (stream, shard_id, owner, epoch)
          JOIN tidemark_leases.lease AS l ON l.application = $1 AND l.stream = a.stream AND l.shard_id = a.shard_id
            AND l.owner = a.owner AND l.epoch = a.epoch
          FOR UPDATE OF l SKIP LOCKED
        ), given AS (
          UPDATE tidemark_leases.lease AS l SET \(Self.naming) FROM asked WHERE l.ctid = asked.place
          RETURNING l.stream, l.shard_id, l.last_owner, l.last_epoch
        ), \(Self.noting("given"))
        SELECT stream, shard_id, last_owner, last_epoch, pg_notify(tidemark_leases.lease_channel($1), '') FROM given
        """,
        scope.application,
        grants.map(\.stream),
        grants.map(\.shardID),
        grants.map(\.owner.number),
        grants.map(\.epoch.number)
      )
      for row in try await pool.query(statement) {
        given.insert(
          LeaseGrant(
            scope: scope,
            key: LeaseKey(stream: try row.decode("stream"), shardID: try row.decode("shard_id")),
            owner: WorkerIncarnation(try row.decode("last_owner")),
            epoch: Epoch(try row.decode("last_epoch"))
          )
        )
      }
    }
    return given
  }

  public func stop(_ grant: LeaseGrant, reason: String) async throws -> WriteOutcome {
    try await Self.writingText { text in
      try await stop(grant, storing: text.of(reason))
    }
  }

  private func stop(_ grant: LeaseGrant, storing reason: String) async throws -> WriteOutcome {
    let statement = PQStatement(
      """
      WITH stopped AS (
        UPDATE tidemark_leases.lease SET stopped_reason = $6, \(Self.releasing)
        WHERE \(Self.granted("$1", "$2", "$3", "$4", "$5"))
        RETURNING shard_id
      ), \(Self.noting("stopped"))
      SELECT pg_notify(tidemark_leases.lease_channel($1), '') FROM stopped
      """,
      grant.scope.application,
      grant.stream,
      grant.shardID,
      grant.owner.number,
      grant.epoch.number,
      reason
    )
    return try await giveUp(grant, statement) { $0.isStopped }
  }

  // MARK: Parts of statements

  /// Gives a lease `l` to the worker that the handoff names, if that is there to take it.
  private static let naming = """
    owner = (
      SELECT w.incarnation FROM tidemark_leases.worker AS w
      WHERE w.incarnation = l.handoff_to AND w.state = 'active'),
    last_owner = l.owner, last_epoch = l.epoch, epoch = \(PlanningStatements.nextEpoch("l.epoch")),
    left_epoch = \(PlanningStatements.nextEpoch("l.epoch")),
    handoff_to = NULL, handoff_deadline = NULL, updated_at = clock_timestamp()
    """

  /// Gives a lease to nobody.
  static let releasing = """
    owner = NULL, last_owner = owner, last_epoch = epoch, epoch = \(PlanningStatements.nextEpoch("epoch")),
    left_epoch = \(PlanningStatements.nextEpoch("epoch")),
    handoff_to = NULL, handoff_deadline = NULL, updated_at = clock_timestamp()
    """

  static func granted(
    _ application: String,
    _ stream: String,
    _ shardID: String,
    _ owner: String,
    _ epoch: String
  ) -> String {
    """
    application = \(application) AND stream = \(stream) AND shard_id = \(shardID) \
    AND owner = \(owner) AND epoch = \(epoch)
    """
  }

  /// Whether a lease is as far as its owner's write says; what it says is less if the store has lost nothing.
  static func hasReached(_ checkpoint: String, _ subSequenceNumber: String) -> String {
    """
    (tidemark_leases.checkpoint_rank(checkpoint), sub_sequence_number) \
    >= (tidemark_leases.checkpoint_rank(\(checkpoint)), \(subSequenceNumber))
    """
  }

  /// Notes in the scope $1 that an owner has changed and that there may be something to plan.
  private static func noting(_ cause: String) -> String {
    """
    noted AS (
      UPDATE tidemark_leases.lease_scope
      SET assignment_version = assignment_version + 1, change_version = change_version + 1
      WHERE application = $1 AND EXISTS (SELECT FROM \(cause))
    )
    """
  }

  // MARK: Giving up

  private struct GivenUp {
    var hasEnded: Bool
    var isStopped: Bool
  }

  /// Runs a statement that gives a lease up and returns a row if it did. If it did not, the same call may have
  /// been done before and its answer lost: then this grant was the last to give the lease up.
  private func giveUp(
    _ grant: LeaseGrant,
    _ statement: PQStatement,
    isRepeated: (GivenUp) -> Bool
  ) async throws -> WriteOutcome {
    try await write {
      if try await !pool.query(statement).isEmpty { return .accepted }
      let rows = try await pool.query(
        """
        SELECT l.ended_at IS NOT NULL, l.stopped_reason IS NOT NULL
        FROM tidemark_leases.lease AS l JOIN tidemark_leases.worker AS w ON w.incarnation = l.last_owner
        WHERE l.application = \(grant.scope.application) AND l.stream = \(grant.stream)
          AND l.shard_id = \(grant.shardID) AND l.last_owner = \(grant.owner.number)
          AND l.last_epoch = \(grant.epoch.number) AND l.left_epoch = l.epoch AND w.state <> 'dead'
        """
      )
      guard let row = rows.first else { return .leaseLost }
      let (hasEnded, isStopped) = try row.decode((Bool, Bool).self)
      return isRepeated(GivenUp(hasEnded: hasEnded, isStopped: isStopped)) ? .accepted : .leaseLost
    }
  }
}
