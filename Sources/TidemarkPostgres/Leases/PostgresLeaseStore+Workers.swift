import LibPQ
import Logging
import Tidemark

extension PostgresLeaseStore {
  public func register(_ worker: WorkerRegistration) async throws -> WorkerIncarnation {
    try await Migrator(pool, schema: .leases, logger: logger).check()
    return try await write {
      let connection = try await PQConnection.connect(
        WorkerSession.configuration(configuration),
        logger: logger
      )
      let isDirect = await !connection.isPooled
      if !isDirect { warnOfPooler() }
      let rows = try await connection.pipeline(
        HeartbeatStatements.register(worker, hasSession: isDirect, sessionName: sessionName)
      )[3]
      let (number, isLocked, channel) = try rows[0].decode((Int64, Bool, String).self)
      let session = WorkerSession(
        WorkerIncarnation(number),
        in: worker.scope,
        channel: channel,
        connection: connection,
        isDirect: isDirect,
        isLocked: isLocked,
        configuration: configuration,
        logger: logger
      )
      add(session)
      return session.incarnation
    }
  }

  private func warnOfPooler() {
    logger.warning(
      """
      The database is behind a pooler, so no session is this worker's own: its death would be noticed only when \
      its heartbeat is old, and changes are seen by looking, not told. Its settings count as they are, too: with \
      synchronous_commit off, epochs can be granted twice after a crash. Give workers a direct connection.
      """
    )
  }

  public func heartbeat(_ beat: Heartbeat) async throws -> HeartbeatReply? {
    guard beat.state != .dead else {
      throw TidemarkError(.unsupported, "A worker cannot report itself dead.", advice: "Deregister it.")
    }
    guard let session = session(of: beat.incarnation) else { return nil }
    let reply = try await write { try await session.heartbeat(beat) }
    if reply == nil { await endSession(of: beat.incarnation) }
    return reply
  }

  /// One statement that reads three small things: two counters, the handoffs that are overdue, and the other
  /// workers' rows with their locks. It never searches the leases.
  public func look(as incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> LookReply {
    let statement = PQStatement(
      """
      SELECT s.assignment_version, s.history_number, s.history_version,
        EXISTS (SELECT FROM tidemark_leases.worker WHERE incarnation = $1 AND state <> 'dead') AND (
          s.change_version > s.planned_version
          OR EXISTS (
            SELECT FROM tidemark_leases.lease
            WHERE application = $2 AND stream = $3 AND handoff_deadline < clock_timestamp())
          OR EXISTS (SELECT FROM tidemark_leases.worker AS w WHERE \(PlanningStatements.isDead)))
      FROM tidemark_leases.lease_scope AS s
      WHERE s.application = $2 AND s.stream = $3
      """,
      incarnation.number,
      scope.application,
      scope.stream
    )
    let rows = try await read {
      if let session = session(of: incarnation) { return try await session.query(statement) }
      return try await pool.query(statement)
    }
    guard let row = rows.first else { return LookReply(needsPlan: false, assignmentVersion: 0) }
    let (version, history, beganAt, needsPlan) = try row.decode((Int64, Int64, Int64, Bool).self)
    return LookReply(
      needsPlan: needsPlan,
      assignmentVersion: version,
      history: LeaseHistory(number: history, beganAt: beganAt)
    )
  }

  public func deregister(_ incarnation: WorkerIncarnation, in scope: LeaseScope) async throws {
    // Not through the session: it may be lost, and must end only once the leases are given up.
    try await write {
      _ = try await pool.pipeline([
        """
        SELECT tidemark_leases.forget_worker(\(scope.application), \(scope.stream), \(incarnation.number))
        """,
        PQStatement(
          """
          UPDATE tidemark_leases.lease SET \(Self.releasing)
          WHERE owner = $1 AND application = $2 AND stream = $3
          """,
          incarnation.number,
          scope.application,
          scope.stream
        ),
        PlanningStatements.noteChange(of: scope),
        HeartbeatStatements.notify(scope),
      ])
    }
    await endSession(of: incarnation)
  }

  public func workers(in scope: LeaseScope) async throws -> [WorkerRecord] {
    try await read {
      try await pool.query(
        """
        SELECT incarnation, worker_id, host, process_id, maximum_leases, state,
          extract(epoch FROM failover_interval)::float8,
          extract(epoch FROM clock_timestamp() - heartbeat_at)::float8
        FROM tidemark_leases.visible_worker
        WHERE application = \(scope.application) AND stream = \(scope.stream)
        ORDER BY incarnation
        """
      ).map { row in
        let (incarnation, workerID, host, processID, maximumLeases, state, failover, age) = try row.decode(
          (Int64, String, String, Int32, Int32?, String, Double, Double).self
        )
        return WorkerRecord(
          registration: WorkerRegistration(
            scope: scope,
            workerID: workerID,
            host: host,
            processID: processID,
            failoverInterval: .seconds(failover),
            maximumLeases: maximumLeases.map { Int($0) }
          ),
          incarnation: WorkerIncarnation(incarnation),
          state: WorkerRecord.State(rawValue: state) ?? .dead,
          heartbeatAge: .seconds(age)
        )
      }
    }
  }
}
