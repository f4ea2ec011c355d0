import LibPQ
import Tidemark

/// What a worker says of itself, as SQL.
enum HeartbeatStatements {
  /// Adds the worker's row and takes its session lock in one transaction: nobody sees the row without the lock.
  ///
  /// The fourth result has the incarnation, whether the lock was granted, and the channel.
  ///
  /// - Parameters:
  ///   - hasSession: whether the session is the worker's alone, so that the lock means something.
  ///   - sessionName: the `application_name` that all sessions of the worker's process have and no others.
  static func register(
    _ worker: WorkerRegistration,
    hasSession: Bool,
    sessionName: String?
  ) -> [PQStatement] {
    let maximumLeases: Int32? = worker.maximumLeases.map { Int32(clamping: $0) }
    return [
      // A statement of its own, so that the next one draws its incarnation after it.
      "SELECT tidemark_leases.enter_history()",
      """
      INSERT INTO tidemark_leases.lease_scope AS s (application, change_version)
      VALUES (\(worker.scope.application), 1)
      ON CONFLICT (application) DO UPDATE SET change_version = s.change_version + 1
      """,
      """
      INSERT INTO tidemark_leases.plan_turn (application) VALUES (\(worker.scope.application))
      ON CONFLICT DO NOTHING
      """,
      """
      INSERT INTO tidemark_leases.worker (
        application, worker_id, host, process_id, maximum_leases, failover_interval,
        has_session, server_started_at, registered_at, heartbeat_at, heartbeating_since, session_name)
      SELECT \(worker.scope.application), \(worker.workerID), \(worker.host),
        \(worker.processID), \(maximumLeases as Int32?),
        make_interval(secs => \(worker.failoverInterval.inSeconds)),
        \(hasSession), pg_postmaster_start_time(), now, now, now, \(hasSession ? sessionName : nil)::text
      FROM clock_timestamp() AS now
      RETURNING incarnation,
        CASE WHEN has_session THEN pg_try_advisory_lock(session_key) ELSE false END,
        tidemark_leases.lease_channel(application),
        set_config('tidemark.incarnation', incarnation::text, true)
      """,
      """
      SELECT tidemark_leases.serve_streams(\(worker.scope.application),
        current_setting('tidemark.incarnation')::bigint, \(worker.streams.sorted()), 0)
      """,
      notify(worker.scope),
    ]
  }

  static func serve(
    _ streams: Set<String>,
    version: Int64,
    as worker: WorkerIncarnation,
    in scope: LeaseScope
  ) -> PQStatement {
    """
    SELECT tidemark_leases.serve_streams(
      \(scope.application), \(worker.number), \(streams.sorted()), \(version))
    """
  }

  static func notify(_ scope: LeaseScope) -> PQStatement {
    "SELECT pg_notify(tidemark_leases.lease_channel(\(scope.application)), '')"
  }

  /// No row if the worker is dead, else the assignment version, the history, the number of live workers and the version
  /// of the streams that it serves.
  static func beat(_ beat: Heartbeat, hasSession: Bool) -> PQStatement {
    PQStatement(
      """
      WITH beat AS (
        UPDATE tidemark_leases.worker SET
          heartbeating_since = CASE WHEN heartbeat_at + failover_interval / 2 < clock_timestamp()
            THEN clock_timestamp() ELSE heartbeating_since END,
          heartbeat_at = clock_timestamp(),
          server_started_at = pg_postmaster_start_time(),
          has_session = $4,
          session_process = pg_backend_pid(),
          state = $3,
          refused_leases = $5
        WHERE incarnation = $1 AND application = $2 AND state <> 'dead'
        RETURNING streams_version
      ), changed AS (
        -- The other sub-selects still see the row as it was.
        UPDATE tidemark_leases.lease_scope SET change_version = change_version + 1
        WHERE application = $2 AND EXISTS (SELECT FROM beat)
          AND EXISTS (SELECT FROM tidemark_leases.worker WHERE incarnation = $1 AND (state, refused_leases) <> ($3, $5))
        RETURNING pg_notify(tidemark_leases.lease_channel($2), '')
      )
      SELECT s.assignment_version, s.history_number, s.history_version,
        (SELECT count(*) FROM tidemark_leases.worker WHERE application = $2 AND state <> 'dead'),
        beat.streams_version
      FROM beat, tidemark_leases.lease_scope AS s
      WHERE s.application = $2
      """,
      beat.incarnation.number,
      beat.scope.application,
      beat.state.rawValue,
      hasSession,
      beat.refused.map(\.stored).sorted()
    )
  }

  /// Stores what was measured of the leases that the worker still owns: none or one statement.
  static func measurements(_ beat: Heartbeat) -> [PQStatement] {
    if beat.measurements.isEmpty { return [] }
    // In one order everywhere, so that two writers of the same rows wait for each other and not in a circle.
    let measured = beat.measurements.sorted { $0.key < $1.key }
    return [
      """
      INSERT INTO tidemark_leases.lease_load
      SELECT l.application, l.stream, l.shard_id, m.processing, m.bytes_per_second, m.millis_behind_latest,
        clock_timestamp()
      FROM unnest(
        \(measured.map(\.key.stream)), \(measured.map(\.key.shardID)), \(measured.map(\.value.load.processing)),
        \(measured.map(\.value.load.bytesPerSecond)), \(measured.map(\.value.millisBehindLatest))
      ) AS m (stream, shard_id, processing, bytes_per_second, millis_behind_latest)
      JOIN tidemark_leases.lease AS l ON l.application = \(beat.scope.application)
        AND l.stream = m.stream AND l.shard_id = m.shard_id
        AND l.owner = \(beat.incarnation.number)
      ON CONFLICT (application, stream, shard_id) DO UPDATE SET
        processing = excluded.processing, bytes_per_second = excluded.bytes_per_second,
        millis_behind_latest = excluded.millis_behind_latest, measured_at = excluded.measured_at
      """
    ]
  }
}

extension Duration {
  package var inSeconds: Double { self / .seconds(1) }
}
