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
      let (number, isLocked, channel, _) = try rows[0].decode((Int64, Bool, String, String).self)
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
      its heartbeat is old, and it sees changes only by polling. Its settings count as they are, too: with \
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

  public func serve(
    _ streams: Set<String>,
    version: Int64,
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope
  ) async throws {
    _ = try await write {
      try await pool.pipeline([
        HeartbeatStatements.serve(streams, version: version, as: incarnation, in: scope),
        HeartbeatStatements.notify(scope),
      ])
    }
  }

  /// One statement that reads three small things: two counters, the handoffs that are overdue, and the other
  /// workers' rows with their locks. It never searches the leases.
  public func look(as incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> LookReply {
    let statement = PQStatement(
      """
      SELECT s.assignment_version, s.history_number, s.history_version,
        EXISTS (SELECT FROM tidemark_leases.worker WHERE incarnation = $1 AND state <> 'dead') AND (
          s.change_version > greatest(s.planned_version,
            (SELECT planned_version FROM tidemark_leases.worker WHERE incarnation = $1))
          OR EXISTS (
            SELECT FROM tidemark_leases.lease
            WHERE application = $2 AND handoff_deadline < clock_timestamp())
          OR EXISTS (SELECT FROM tidemark_leases.worker AS w WHERE \(PlanningStatements.isDead)))
      FROM tidemark_leases.lease_scope AS s
      WHERE s.application = $2
      """,
      incarnation.number,
      scope.application
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
        "SELECT tidemark_leases.forget_worker(\(scope.application), \(incarnation.number))",
        PQStatement(
          """
          UPDATE tidemark_leases.lease SET \(Self.releasing)
          WHERE owner = $1 AND application = $2
          """,
          incarnation.number,
          scope.application
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
          extract(epoch FROM clock_timestamp() - heartbeat_at)::float8, ARRAY(
            SELECT v.stream FROM tidemark_leases.visible_worker_stream AS v
            WHERE v.application = w.application AND v.incarnation = w.incarnation)
        FROM tidemark_leases.visible_worker AS w
        WHERE application = \(scope.application)
        ORDER BY incarnation
        """
      ).map { row in
        let (incarnation, workerID, host, processID, maximumLeases, state, failover, age, streams) =
          try row.decode((Int64, String, String, Int32, Int32?, String, Double, Double, [String]).self)
        return WorkerRecord(
          registration: WorkerRegistration(
            scope: scope,
            streams: Set(streams),
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
