import FleetDrill
import Foundation
import LibPQ
import TestSupport
import Testing

@Suite(
  "A fleet behind a transaction pooler",
  .enabled(if: Pooler.program != nil, "PgBouncer is not installed: deploy/setup.sh --tests"),
  .needsMachineAlone,
  .serialized
)
struct PoolerFleetTests {
  @Test(
    "a fleet behind a pooler notices it, says so, and works by heartbeats and polling, whatever isolation the database sets"
  )
  func fleet() async throws {
    let names = ["a", "b", "c"]
    let failover = Duration.seconds(2)
    try await FleetUnderTest.run(failover: failover, withPooler: true) { test in
      try await test.fleet.pool.execute(
        """
        DO $$ BEGIN
          EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
        END $$
        """
      )
      var members = try names.map { try test.start($0) }
      try await test.waitForBalance(of: names)
      for name in names {
        let log = try String(contentsOfFile: "\(test.fleet.directory)/\(name).log", encoding: .utf8)
        #expect(log.contains("The database is behind a pooler"))
      }
      let sessions = try await test.fleet.pool.query(
        "SELECT bool_or(has_session) FROM tidemark_leases.worker"
      )
      #expect(try sessions[0].decode(Bool.self) == false)

      let victim = members.removeFirst()
      let shards = try await test.fleet.standing().shards(of: victim.name)
      let moment = HistoryEntry.now()
      victim.crash()
      let recoveries = try await test.recoveries(of: shards, from: victim.name, since: moment)
      // Its last heartbeat is a fifth of the interval old at most, or a little more where the machine is busy.
      #expect(
        recoveries.allSatisfy { $0 > failover / 2 },
        "nothing but old heartbeats can have told of the death"
      )
      try await test.waitForBalance(of: members.map(\.name))

      let leaving = members.removeFirst()
      leaving.terminate()
      try await leaving.waitUntilExit()
      #expect(leaving.exitStatus == 0)
      try await test.waitForBalance(of: members.map(\.name))
      for name in names {
        let log = try String(contentsOfFile: "\(test.fleet.directory)/\(name).log", encoding: .utf8)
        #expect(!log.contains("prepared statement"))
      }
      _ = try await test.finish()
    }
  }
}
