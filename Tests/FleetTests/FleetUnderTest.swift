import FleetDrill
import Foundation
import LocalPostgres
import PostgresClient
import Testing

/// A private server, a fleet of worker processes on it and steady writes, for one test.
final class FleetUnderTest: Sendable {
  let server: LocalPostgres
  let fleet: DrillFleet
  let load: OrdersLoad

  private init(server: LocalPostgres, fleet: DrillFleet, load: OrdersLoad) {
    self.server = server
    self.fleet = fleet
    self.load = load
  }

  /// The program `tidemark`, which stands beside the test bundle.
  static func executable() throws -> String {
    let bundle = try #require(Bundle.main.executablePath)
    let path = URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent("tidemark")
      .path
    try #require(FileManager.default.isExecutableFile(atPath: path), "\(path) was not built")
    return path
  }

  static func run(
    failover: Duration = .seconds(2),
    recordPause: Duration = .zero,
    transactionsPerSecond: Int = 200,
    _ body: @Sendable @escaping (FleetUnderTest) async throws -> Void
  ) async throws {
    let directory = FileManager.default.temporaryDirectory.path + "/tidemark-fleet-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try await withLocalPostgres { server in
      let fleet = try await DrillFleet(
        database: server.url(),
        executable: try executable(),
        directory: directory,
        options: [
          "--failover-milliseconds", String(Int(failover / .milliseconds(1))),
          "--record-pause-microseconds", String(Int(recordPause / .microseconds(1))),
        ]
      )
      let load = OrdersLoad(fleet.table, transactionsPerSecond: transactionsPerSecond)
      let test = FleetUnderTest(server: server, fleet: fleet, load: load)
      defer { fleet.killAll() }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await load.run() }
        group.addTask {
          do {
            try await body(test)
            load.stop()
          } catch {
            load.stop()
            throw error
          }
        }
        try await group.waitForAll()
      }
      await fleet.pool.close()
    }
  }

  func start(_ name: String) throws -> WorkerProcess {
    try fleet.start(name)
  }

  func waitForBalance(of names: [String]) async throws {
    do {
      try await fleet.wait("the fleet is balanced") { try await fleet.standing().isBalanced(among: names) }
    } catch let timeout as DrillTimeout {
      let standing = try await fleet.standing()
      Issue.record("\(timeout) Leases by owner: \(standing.countByOwner).")
      throw timeout
    }
  }

  /// Waits until each of `shards` is read by somebody other than `victim`.
  func recoveries(of shards: [String], from victim: String, since moment: Int64) async throws -> [Duration] {
    try await fleet.wait("the shards of \(victim) are read again", every: .milliseconds(20)) {
      DrillFleet.recoveries(of: shards, from: victim, since: moment, in: try fleet.history()).count
        == shards.count
    }
    return Array(
      DrillFleet.recoveries(of: shards, from: victim, since: moment, in: try fleet.history()).values
    )
  }

  /// Stops the writes, waits until all is handled, ends the workers and checks everything.
  func finish() async throws -> FleetCheck {
    load.stop()
    try await fleet.waitUntilConsumed()
    #expect(try await fleet.endWorkers() == [], "these did not end in good order")
    let check = try await fleet.check()
    #expect(check.violations.isEmpty)
    #expect(check.committed > 0)
    #expect(check.delivered == check.committed)
    return check
  }
}
