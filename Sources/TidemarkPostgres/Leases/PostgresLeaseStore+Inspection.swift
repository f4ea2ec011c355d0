import LibPQ
import Tidemark

extension PostgresLeaseStore {
  /// All applications and the streams that they have leases, workers or dead letters on, in the order of their names.
  public func scopes() async throws -> [LeaseScopeSummary] {
    try await read {
      try await pool.query(
        """
        WITH leased AS (
          SELECT l.application, l.stream, count(*) AS leases, count(l.owner) AS owned, count(l.ended_at) AS ended,
            count(l.stopped_reason) AS stopped, max(m.millis_behind_latest) FILTER (WHERE l.ended_at IS NULL) AS behind
          FROM tidemark_leases.visible_lease AS l
          LEFT JOIN tidemark_leases.visible_load AS m USING (application, stream, shard_id) GROUP BY 1, 2
        ), served AS (
          SELECT v.application, v.stream, count(*) AS workers
          FROM tidemark_leases.visible_worker_stream AS v
          JOIN tidemark_leases.visible_worker AS w USING (application, incarnation) WHERE w.state <> 'dead' GROUP BY 1, 2
        ), lettered AS (
          SELECT d.application, d.stream, sum(d.dead_letters)::bigint AS letters
          FROM tidemark_leases.dead_letter_count AS d GROUP BY 1, 2
        )
        SELECT application, stream, coalesce(workers, 0), coalesce(leases, 0), coalesce(owned, 0), coalesce(ended, 0),
          coalesce(stopped, 0), behind, coalesce(letters, 0)
        FROM leased FULL JOIN served USING (application, stream) FULL JOIN lettered USING (application, stream)
        ORDER BY application, stream
        """
      ).map { row in
        let (application, stream, workers, leases, owned, ended, stopped, behind, letters) = try row.decode(
          (String, String, Int, Int, Int, Int, Int, Int64?, Int).self
        )
        return LeaseScopeSummary(
          application: application,
          stream: stream,
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
          WHERE l.application = $1 ORDER BY l.stream, l.shard_id
          """,
          scope.application
        )
      ).map(Lease.init)
    }
  }
}
