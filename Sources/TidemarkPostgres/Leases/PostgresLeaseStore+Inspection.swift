import PostgresClient
import Tidemark

extension PostgresLeaseStore {
  /// All applications and the streams that they have leases or workers on, in the order of their names.
  public func scopes() async throws -> [LeaseScopeSummary] {
    try await read {
      try await pool.query(
        """
        SELECT s.application, s.stream,
          (SELECT count(*) FROM tidemark_leases.worker AS w
            WHERE w.application = s.application AND w.stream = s.stream AND w.state <> 'dead'),
          count(l.shard_id), count(l.owner), count(l.ended_at), count(l.stopped_reason),
          max(m.millis_behind_latest) FILTER (WHERE l.ended_at IS NULL)
        FROM tidemark_leases.lease_scope AS s
        LEFT JOIN tidemark_leases.lease AS l USING (application, stream)
        LEFT JOIN tidemark_leases.lease_load AS m USING (application, stream, shard_id)
        GROUP BY s.application, s.stream
        ORDER BY s.application, s.stream
        """
      ).map { row in
        let (application, stream, workers, leases, owned, ended, stopped, behind) = try row.decode(
          (String, String, Int, Int, Int, Int, Int, Int64?).self
        )
        return LeaseScopeSummary(
          scope: LeaseScope(application: application, stream: stream),
          liveWorkers: workers,
          leases: leases,
          ownedLeases: owned,
          endedLeases: ended,
          stoppedLeases: stopped,
          millisBehindLatest: behind
        )
      }
    }
  }
}
