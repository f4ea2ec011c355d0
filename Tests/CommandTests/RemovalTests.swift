import LibPQ
import TestSupport
import Testing

@Suite("tidemark's removing commands", .sharesMachine)
struct RemovalTests {
  @Test("They ask before they remove something, and say what they have done")
  func removing() async throws {
    let database = try await CommandDatabase.make()
    let tidemark = database.tidemark
    #expect(try await tidemark.run("stream", "create", "clicks").status == 0)
    #expect(try await tidemark.run("stream", "drop", "clicks").status == 64)
    let dropped = try await tidemark.run("stream", "drop", "clicks", "--yes")
    #expect(dropped.status == 0)
    #expect(dropped.output.contains("is gone"))
    #expect(try await tidemark.run("stream", "drop", "clicks", "--yes").status == 1)

    let unknown = try await tidemark.run("application", "delete", "app", "--yes")
    #expect(unknown.status == 1)
    #expect(unknown.errors.contains("leases list"))
    try await database.run(
      """
      INSERT INTO tidemark_leases.lease_scope (application) VALUES ('app');
      INSERT INTO tidemark_leases.lease (application, stream, shard_id, parent_shard_ids, checkpoint)
        VALUES ('app', 's', 'x', '{}', 'TRIM_HORIZON')
      """
    )
    let deleted = try await tidemark.run("application", "delete", "app", "--yes")
    #expect(deleted.status == 0)
    #expect(deleted.output.contains("app had on s"))

    let restored = try await tidemark.run("restore")
    #expect(restored.status == 0)
    #expect(restored.output.contains("nothing is missing"))

    try await database.run(
      """
      INSERT INTO tidemark_leases.worker (application, worker_id, host, process_id, failover_interval,
          has_session, server_started_at, registered_at, heartbeat_at, heartbeating_since, session_role)
        VALUES ('a', 'busy', 'h', 1, '1 hour', true, now(), now(), now(), now(), 10)
      """
    )
    let refused = try await tidemark.run("uninstall", "--yes")
    #expect(refused.status == 1)
    #expect(refused.errors.contains("busy"))
    #expect(try await tidemark.run("uninstall", "--yes", "--force").status == 0)
    #expect(try await tidemark.run("uninstall", "--yes").status == 0)
    #expect(
      try await database.pool.query("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tidemark%'")[0]
        .decode(Int64.self) == 0
    )
  }
}
