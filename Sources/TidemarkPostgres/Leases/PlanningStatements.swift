import LibPQ
import Tidemark

/// What a planning round reads and writes, as SQL.
///
/// Rows that somebody else has locked are skipped: a round must neither wait for a user's long transaction nor
/// run into a deadlock with one. What was skipped calls for another round. The rows that were locked are found
/// again by their place: a join on their key, estimated without statistics, can lock them all once for each.
enum PlanningStatements {
  /// Whether $1 may take the worker `w` of the application $2 for dead.
  ///
  /// A session lock that can be had says so at once, if the server is still the one that it was taken on. So does one
  /// that somebody else holds, but the plan checks that only once a heartbeat is late. An old heartbeat says so only to somebody who has beaten without a gap for long enough that the others had
  /// the same chance. Where two workers have different intervals the longer one counts: a gap that is none to the
  /// one may be longer than the other's whole interval.
  static let isDead = """
    w.application = $2 AND w.incarnation <> $1 AND w.state <> 'dead' AND (
      CASE WHEN NOT w.has_session OR w.server_started_at <> pg_postmaster_start_time() THEN false
        WHEN pg_try_advisory_xact_lock_shared(w.session_key) THEN true
        WHEN w.heartbeat_at + w.failover_interval / 2 < clock_timestamp() THEN NOT EXISTS (
          SELECT FROM pg_locks AS k
          WHERE k.locktype = 'advisory' AND k.objsubid = 1 AND k.granted AND k.pid = w.session_process
            AND (k.classid::bigint << 32) | k.objid::bigint = w.session_key)
        ELSE false END
      OR w.heartbeat_at + w.failover_interval < clock_timestamp() AND EXISTS (
        SELECT FROM tidemark_leases.worker AS me
        WHERE me.incarnation = $1 AND me.state <> 'dead'
          AND w.heartbeat_at + me.failover_interval < clock_timestamp()
          AND me.heartbeating_since + greatest(w.failover_interval, me.failover_interval) <= clock_timestamp()
          AND me.heartbeat_at + me.failover_interval / 2 >= clock_timestamp()))
    """

  /// The epoch of a lease that changes hands. It rises past all that may have been granted in what the database has
  /// lost; asked for once a statement.
  static func nextEpoch(_ epoch: String) -> String {
    "greatest(\(epoch) + 1, (SELECT tidemark_leases.epoch_floor()))"
  }

  /// Whether the planner got its turn, and whether it lives. All that follows is given out on a history that is noted.
  static func begin(as planner: WorkerIncarnation, in scope: LeaseScope) -> [PQStatement] {
    [
      // A planner that is paused must not keep the others from planning.
      "SET LOCAL idle_in_transaction_session_timeout = '5s'",
      """
      SELECT EXISTS (
          SELECT FROM tidemark_leases.plan_turn
          WHERE application = \(scope.application) FOR UPDATE SKIP LOCKED),
        EXISTS (
          SELECT FROM tidemark_leases.worker
          WHERE incarnation = \(planner.number) AND application = \(scope.application)
            AND state <> 'dead'),
        tidemark_leases.enter_history()
      """,
    ]
  }

  /// Finds the dead, takes their leases, and shows the fleet. The change counter is read first, so that a
  /// change which this round does not see calls for the next. Each statement sees what was committed before it.
  static func read(as planner: WorkerIncarnation, in scope: LeaseScope) -> [PQStatement] {
    let (planner, application) = (planner.number, scope.application)
    return [
      """
      SELECT change_version, tidemark_leases.sees_all_served(application) FROM tidemark_leases.lease_scope
      WHERE application = \(application)
      """,
      PQStatement(
        """
        UPDATE tidemark_leases.worker AS w SET state = 'dead', died_at = clock_timestamp()
        WHERE \(isDead) RETURNING w.incarnation
        """,
        planner,
        application
      ),
      PQStatement(release, application),
      PQStatement(clearHandoffs, application),
      """
      SELECT tidemark_leases.forget_dead_workers(\(application)) WHERE EXISTS (
        SELECT FROM tidemark_leases.worker
        WHERE application = \(application) AND state = 'dead'
          AND heartbeat_at < clock_timestamp() - interval '1 hour')
      """,
      """
      SELECT w.incarnation, w.state, w.maximum_leases, w.refused_leases, ARRAY(
          SELECT v.stream FROM tidemark_leases.worker_stream AS v
          WHERE v.application = w.application AND v.incarnation = w.incarnation)
      FROM tidemark_leases.worker AS w
      WHERE w.application = \(application) AND (w.state <> 'dead' OR NOT w.has_left) ORDER BY w.incarnation
      """,
      PQStatement(
        "SELECT \(Lease.columns) FROM \(Lease.tables) WHERE l.application = $1 ORDER BY l.stream, l.shard_id",
        application
      ),
    ]
  }

  /// Not only the leases of those found dead just now: a handoff may have gone to a worker while it died.
  private static let release = """
    WITH orphan AS (
      SELECT o.ctid AS place FROM tidemark_leases.lease AS o
      WHERE o.application = $1 AND o.owner IS NOT NULL AND NOT EXISTS (
        SELECT FROM tidemark_leases.worker AS w WHERE w.incarnation = o.owner AND w.state <> 'dead')
      FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE tidemark_leases.lease AS l SET owner = NULL, last_owner = l.owner, last_epoch = l.epoch,
      epoch = \(nextEpoch("l.epoch")), left_epoch = \(nextEpoch("l.epoch")), handoff_to = NULL, handoff_deadline = NULL, updated_at = clock_timestamp()
    FROM orphan WHERE l.ctid = orphan.place
    """

  private static let clearHandoffs = """
    WITH lapsed AS (
      SELECT h.ctid AS place FROM tidemark_leases.lease AS h
      WHERE h.application = $1 AND h.handoff_deadline IS NOT NULL AND (
        h.handoff_deadline < clock_timestamp() OR NOT EXISTS (
          SELECT FROM tidemark_leases.worker AS w WHERE w.incarnation = h.handoff_to AND w.state = 'active'))
      FOR UPDATE OF h SKIP LOCKED
    )
    UPDATE tidemark_leases.lease AS l
    SET handoff_to = NULL, handoff_deadline = NULL, updated_at = clock_timestamp()
    FROM lapsed WHERE l.ctid = lapsed.place
    """

  /// What a round writes at its end.
  struct Changes {
    var assigned: [(lease: Lease, target: WorkerIncarnation)] = []
    var handedOff: [(lease: Lease, target: WorkerIncarnation)] = []
    var handoffTimeout: Duration
    /// The changes that the round has seen to; `nil` if it had to skip a row.
    var seenChange: Int64?
    /// Whether the planner may see all leases that somebody serves. If not, it has seen to the changes for itself alone.
    var seesAll: Bool
    /// Whether dead workers' leases were released or handoffs cleared.
    var hasReleased: Bool

    var isEmpty: Bool { assigned.isEmpty && handedOff.isEmpty }
  }

  /// The first result has the leases whose steps were applied.
  static func apply(_ changes: Changes, as planner: WorkerIncarnation, in scope: LeaseScope) -> [PQStatement]
  {
    let steps = changes.assigned.count + changes.handedOff.count
    let statement = PQStatement(
      """
      WITH unowned AS (
        SELECT l.ctid AS place, s.target
        FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[]) AS s (stream, shard_id, epoch, target)
        JOIN tidemark_leases.lease AS l ON l.application = $1 AND l.stream = s.stream AND l.shard_id = s.shard_id
          AND l.epoch = s.epoch AND l.owner IS NULL AND l.ended_at IS NULL AND l.stopped_reason IS NULL
        FOR UPDATE OF l SKIP LOCKED
      ), assigned AS (
        UPDATE tidemark_leases.lease AS l
        SET owner = unowned.target, epoch = \(nextEpoch("l.epoch")), updated_at = clock_timestamp()
        FROM unowned WHERE l.ctid = unowned.place
        RETURNING l.stream, l.shard_id
      ), owned AS (
        SELECT l.ctid AS place, s.target
        FROM unnest($7::text[], $8::text[], $9::bigint[], $10::bigint[]) AS s (stream, shard_id, epoch, target)
        JOIN tidemark_leases.lease AS l ON l.application = $1 AND l.stream = s.stream AND l.shard_id = s.shard_id
          AND l.epoch = s.epoch AND l.owner IS NOT NULL
        FOR UPDATE OF l SKIP LOCKED
      ), handed_off AS (
        UPDATE tidemark_leases.lease AS l SET handoff_to = owned.target,
          handoff_deadline = clock_timestamp() + make_interval(secs => $11), updated_at = clock_timestamp()
        FROM owned WHERE l.ctid = owned.place
        RETURNING l.stream, l.shard_id
      ), applied AS (
        SELECT * FROM assigned UNION ALL SELECT * FROM handed_off
      ), noted AS (
        UPDATE tidemark_leases.lease_scope SET
          planned_version = CASE WHEN seen.all_of_it AND $15 THEN $13 ELSE planned_version END,
          change_version = change_version + CASE WHEN seen.all_of_it THEN 0 ELSE 1 END,
          assignment_version = assignment_version
            + CASE WHEN $14 OR EXISTS (SELECT FROM applied) THEN 1 ELSE 0 END
        FROM (SELECT $13 IS NOT NULL AND count(*) = $12 FROM applied) AS seen (all_of_it)
        WHERE application = $1
      ), noted_by_planner AS (
        UPDATE tidemark_leases.worker SET planned_version = $13
        WHERE incarnation = $2 AND NOT $15 AND $13 IS NOT NULL AND (SELECT count(*) FROM applied) = $12
      )
      SELECT stream, shard_id FROM applied
      """,
      scope.application,
      planner.number,
      changes.assigned.map(\.lease.stream),
      changes.assigned.map(\.lease.shardID),
      changes.assigned.map(\.lease.epoch.number),
      changes.assigned.map(\.target.number),
      changes.handedOff.map(\.lease.stream),
      changes.handedOff.map(\.lease.shardID),
      changes.handedOff.map(\.lease.epoch.number),
      changes.handedOff.map(\.target.number),
      changes.handoffTimeout.inSeconds,
      Int64(steps),
      changes.seenChange,
      changes.hasReleased,
      changes.seesAll
    )
    let tellsSomebody = changes.hasReleased || !changes.isEmpty
    return [statement] + (tellsSomebody ? [HeartbeatStatements.notify(scope)] : [])
  }

  /// Notes that an owner has changed and that there may be something to plan.
  static func noteChange(of scope: LeaseScope) -> PQStatement {
    """
    UPDATE tidemark_leases.lease_scope
    SET assignment_version = assignment_version + 1, change_version = change_version + 1
    WHERE application = \(scope.application)
    """
  }
}
