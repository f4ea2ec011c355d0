import FleetDrill
import Foundation
import LibPQ
import LocalPostgres
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

/// What a worker holds when it stops, and what a promotion takes from the leases.
@Suite("A fleet that is held up", .needsMachineAlone, .serialized)
struct HeldUpFleetTests {
  @Test(
    "a worker that is stopped between checkpoint(in:) and COMMIT holds its leases no longer than any other"
  )
  func stoppedInTransaction() async throws {
    let options = ["--transaction-pause-milliseconds", "50"]
    try await FleetUnderTest.run(failover: .seconds(2), options: options) { test in
      let victim = try test.start("a")
      _ = try test.start("b")
      try await test.waitForBalance(of: ["a", "b"])
      let shards = try await test.fleet.standing().shards(of: "a")
      try await test.fleet.wait("a holds a lease's row", every: .milliseconds(1)) {
        guard try await openTransactions(test) > 0 else { return false }
        victim.pause()
        // It may have committed in between.
        if try await openTransactions(test) > 0 { return true }
        victim.resume()
        return false
      }
      let moment = HistoryEntry.now()
      let recoveries = try await test.recoveries(of: shards, from: "a", since: moment)
      #expect(recoveries.allSatisfy { $0 < .seconds(3) + .milliseconds(500) }, "\(recoveries)")
      #expect(try await openTransactions(test) == 0, "its session is ended")
      victim.resume()
      try await test.waitForBalance(of: ["a", "b"])
      _ = try await test.finish()
    }
  }

  private func openTransactions(_ test: FleetUnderTest) async throws -> Int {
    let rows = try await test.fleet.pool.query(
      """
      SELECT count(*) FROM pg_stat_activity
      WHERE application_name = 'tidemark drill a' AND state = 'idle in transaction' AND query LIKE '%tidemark_leases.checkpoint(%'
      """
    )
    return try rows[0].decode(Int.self)
  }

  @Test(
    "after the promotion of a standby that lacks changes of leases no epoch has a second owner, and that is reported"
  )
  func lossyPromotion() async throws {
    try await FleetUnderTest.run(failover: .seconds(2), transactionsPerSecond: 50, standby: .asynchronous) {
      test in
      let standby = try #require(test.standby)
      let victim = try test.start("a")
      for name in ["b", "c"] { _ = try test.start(name) }
      try await test.waitForBalance(of: ["a", "b", "c"])
      try await Standby.holdBack(standby)
      // What only the primary knows: that another worker has taken these leases.
      let shards = try await test.fleet.standing().shards(of: "a")
      let death = HistoryEntry.now()
      victim.crash()
      _ = try await test.recoveries(of: shards, from: "a", since: death)
      let lost = try starts(test, since: death)
      #expect(!lost.isEmpty)
      await test.server.stop(mode: .immediate)
      try await Standby.promote(standby)
      let moment = HistoryEntry.now()
      try await test.fleet.wait("the leases of a are taken again", within: .seconds(60)) {
        Set(try starts(test, since: moment).map(\.shard)).isSuperset(of: shards)
      }
      var owners: [String: Set<String>] = [:]
      for entry in try starts(test, since: 0) {
        owners["\(entry.shard)@\(entry.epoch)", default: []].insert(entry.worker)
      }
      #expect(owners.values.allSatisfy { $0.count == 1 })
      for entry in try starts(test, since: moment) where shards.contains(entry.shard) {
        #expect(lost.allSatisfy { $0.shard != entry.shard || $0.epoch < entry.epoch })
      }
      let logs = try ["b", "c"].map {
        try String(contentsOfFile: "\(test.fleet.directory)/\($0).log", encoding: .utf8)
      }
      #expect(logs.contains { $0.contains("has lost commits") })
      test.load.stop()
      #expect(try await test.fleet.endWorkers() == [])
    }
  }

  private func starts(_ test: FleetUnderTest, since moment: Int64) throws -> [HistoryEntry] {
    try test.fleet.history().filter { $0.kind == .leaseStarted && $0.at > moment }
  }
}
