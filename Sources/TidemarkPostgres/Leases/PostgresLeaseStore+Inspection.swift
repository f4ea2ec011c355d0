import LibPQ
import Tidemark

extension PostgresLeaseStore {
  /// All applications and the streams that they have leases or workers on, in the order of their names.
  public func scopes() async throws -> [LeaseScopeSummary] {
    try await read {
      try await pool.query(
        """
        SELECT s.application, s.stream,
          (SELECT count(*) FROM tidemark_leases.visible_worker AS w
            WHERE w.application = s.application AND w.stream = s.stream AND w.state <> 'dead'),
          count(l.shard_id), count(l.owner), count(l.ended_at), count(l.stopped_reason),
          max(m.millis_behind_latest) FILTER (WHERE l.ended_at IS NULL),
          (SELECT coalesce(sum(d.dead_letters), 0)::bigint FROM tidemark_leases.dead_letter_count AS d
            WHERE d.application = s.application AND d.stream = s.stream)
        FROM tidemark_leases.visible_scope AS s
        LEFT JOIN tidemark_leases.visible_lease AS l USING (application, stream)
        LEFT JOIN tidemark_leases.visible_load AS m USING (application, stream, shard_id)
        GROUP BY s.application, s.stream
        ORDER BY s.application, s.stream
        """
      ).map { row in
        let (application, stream, workers, leases, owned, ended, stopped, behind, letters) = try row.decode(
          (String, String, Int, Int, Int, Int, Int, Int64?, Int).self
        )
        return LeaseScopeSummary(
          scope: LeaseScope(application: application, stream: stream),
          liveWorkers: workers,
          leases: leases,
          ownedLeases: owned,
          endedLeases: ended,
          stoppedLeases: stopped,
          millisBehindLatest: behind,
          deadLetters: letters
        )
      }
    }
  }

  /// The leases of a scope for whoever looks on: a monitor may, and nobody sees what a processor has noted for the next
  /// owner.
  public func visibleLeases(in scope: LeaseScope) async throws -> [Lease] {
    try await read {
      try await pool.query(
        PQStatement(
          """
          SELECT \(Lease.columns) FROM \(Lease.visibleTables)
          WHERE l.application = $1 AND l.stream = $2 ORDER BY l.shard_id
          """,
          scope.application,
          scope.stream
        )
      ).map(Lease.init)
    }
  }
}
