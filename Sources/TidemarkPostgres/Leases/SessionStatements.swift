import LibPQ
import Tidemark

/// Finds the sessions that are in the way of a plan.
enum SessionStatements {
  /// A session: what identifies it, and what people want to know of it. What the role may not see is null.
  private static let columns = """
    a.pid, a.backend_start::text, format('process %s of role "%s", application "%s", %s%s', coalesce(a.pid::text, 'of nobody'),
      a.usename, a.application_name, coalesce(a.state, 'in a state that this role may not see'),
      ' since ' || coalesce(a.xact_start, a.state_change)::timestamptz(0))
    """

  private static let tables = """
    (SELECT oid AS database FROM pg_database WHERE datname = current_database()) AS here
    """

  /// The sessions of the scope's dead workers that have not ended: those that hold their session locks, and those of
  /// their processes. A process that was declared dead and came back has registered again, and its sessions are those
  /// of a living worker.
  static func ofDeadWorkers(in scope: LeaseScope) -> PQStatement {
    PQStatement(
      """
      WITH dead AS MATERIALIZED (
        SELECT * FROM tidemark_leases.worker AS w
        WHERE w.application = $1 AND w.state = 'dead' AND NOT w.has_left
      ), found AS (
        SELECT k.pid FROM \(tables), dead JOIN pg_locks AS k
          ON (k.classid::bigint << 32) | k.objid::bigint = dead.session_key AND k.pid = dead.session_process
        WHERE k.locktype = 'advisory' AND k.objsubid = 1 AND k.mode = 'ExclusiveLock' AND k.granted
          AND k.database = here.database
        UNION
        SELECT s.pid FROM \(tables), dead JOIN pg_stat_activity AS s
          ON s.application_name = dead.session_name AND s.usesysid = dead.session_role
        WHERE s.datid = here.database AND coalesce(s.backend_start < dead.died_at, true) AND NOT EXISTS (
          SELECT FROM tidemark_leases.worker AS living
          WHERE living.state <> 'dead' AND living.session_name = dead.session_name
            AND living.session_role = dead.session_role)
      )
      SELECT \(columns) FROM found JOIN pg_stat_activity AS a USING (pid) WHERE a.pid <> pg_backend_pid()
      """,
      scope.application
    )
  }

  /// Notes that none of these has a session any more.
  static func note(haveLeft dead: [WorkerIncarnation], in scope: LeaseScope) -> PQStatement {
    """
    UPDATE tidemark_leases.worker SET has_left = true
    WHERE application = \(scope.application)
      AND incarnation = ANY (\(dead.map(\.number))) AND state = 'dead'
    """
  }

  /// The sessions that have locked leases, each with the lease, whether the lease's owner is dead, and whether the
  /// transaction is older than that death, so that it does not belong to somebody who has come to take the lease.
  ///
  /// A row names the transaction that locked it, or a group of transactions. A number of either kind may be one of the
  /// other, so a session counts only if it has locked rows of this very table.
  ///
  /// - Parameter isGroup: whether to take the row's number for that of a group; an error if there is no such group.
  static func holding(_ keys: [LeaseKey], in scope: LeaseScope, isGroup: Bool) -> PQStatement {
    let holders = isGroup ? "pg_get_multixact_members(l.xmax) AS m (xid, mode)" : "(SELECT l.xmax) AS m (xid)"
    return PQStatement(
      """
      WITH asked AS MATERIALIZED (
        SELECT l.stream, l.shard_id, l.owner, l.xmax FROM unnest($2::text[], $3::text[]) AS n (stream, shard_id)
        JOIN tidemark_leases.lease AS l ON l.application = $1 AND l.stream = n.stream AND l.shard_id = n.shard_id
      )
      SELECT l.stream, l.shard_id, \(columns),
        l.owner IS NOT NULL AND coalesce(w.state, 'dead') = 'dead',
        a.xact_start < coalesce(w.died_at, clock_timestamp() - interval '5 s')
      FROM asked AS l
      LEFT JOIN tidemark_leases.worker AS w ON w.incarnation = l.owner
      CROSS JOIN LATERAL \(holders)
      JOIN pg_locks AS k ON k.locktype = 'transactionid' AND k.transactionid = m.xid
        AND k.mode = 'ExclusiveLock' AND k.granted
      LEFT JOIN pg_stat_activity AS a ON a.pid = k.pid
      WHERE k.pid IS DISTINCT FROM pg_backend_pid() AND EXISTS (
          SELECT FROM pg_locks AS r WHERE r.virtualtransaction = k.virtualtransaction AND r.locktype = 'relation'
            AND r.relation = 'tidemark_leases.lease'::regclass AND r.mode IN ('RowShareLock', 'RowExclusiveLock'))
      """,
      scope.application,
      keys.map(\.stream),
      keys.map(\.shardID)
    )
  }

  /// The session that has the turn to plan, if somebody has it.
  static func planning(in scope: LeaseScope) -> PQStatement {
    PQStatement(
      """
      SELECT \(columns)
      FROM tidemark_leases.plan_turn AS p
      JOIN pg_locks AS k ON k.locktype = 'transactionid' AND k.transactionid = p.xmax
        AND k.mode = 'ExclusiveLock' AND k.granted
      LEFT JOIN pg_stat_activity AS a ON a.pid = k.pid
      WHERE p.application = $1 AND k.pid IS DISTINCT FROM pg_backend_pid()
      """,
      scope.application
    )
  }

  /// Ends a session, if it is still the one that was found: its process's number may be another's by now.
  static func end(_ session: DatabaseSession) -> PQStatement {
    """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = \(session.processID) AND backend_start::text IS NOT DISTINCT FROM \(session.startedAt)
    """
  }
}
