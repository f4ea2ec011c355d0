import LibPQ

/// Finds sessions that wait for a lock longer than anything of a torture holds one, and what is in their way.
/// PostgreSQL sees a circle of its own sessions only; one that closes in a client's program stands for ever.
struct LockWatch: Sendable {
  static let patience = Duration.seconds(15)

  let round: Round

  func run() async throws {
    while true {
      try await ContinuousClock().sleep(for: .seconds(1))
      let found: [String]
      do { found = try await waits() } catch is PQError { continue }
      guard !found.isEmpty else { continue }
      var violation = Violation(
        "Sessions wait for a lock for more than \(Int(Self.patience / .seconds(1))) s."
      )
      violation.evidence = found
      round.note(violation)
      return
    }
  }

  private func waits() async throws -> [String] {
    let rows = try await round.pool.query(
      """
      WITH waiting AS (
        SELECT a.pid, a.application_name, left(a.query, 80) AS query, pg_blocking_pids(a.pid) AS blockers,
          date_part('epoch', clock_timestamp() - a.state_change) AS since
        FROM pg_stat_activity a WHERE a.wait_event_type = 'Lock' AND a.datname = current_database())
      SELECT format('%s (%s, for %s s) %s: waits for %s', w.application_name, w.pid, w.since::int,
        regexp_replace(w.query, '\\s+', ' ', 'g'),
        (SELECT string_agg(format('%s (%s, %s) %s', coalesce(b.application_name, 'a prepared transaction'), p.pid,
           b.state, regexp_replace(left(b.query, 80), '\\s+', ' ', 'g')), ', ')
         FROM unnest(w.blockers) AS p (pid) LEFT JOIN pg_stat_activity b ON b.pid = p.pid))
      FROM waiting w WHERE (SELECT max(since) FROM waiting) > \(Self.patience / .seconds(1))
      ORDER BY w.since DESC LIMIT 8
      """
    )
    return try rows.map { try $0.decode(String.self) }
  }
}
