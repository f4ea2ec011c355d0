import FleetDrill
import Foundation
import LibPQ
import LocalPostgres
import TestSupport
import Testing
import Tidemark

/// A private server, a fleet of worker processes on it and steady writes, for one test.
final class FleetUnderTest: Sendable {
  let server: LocalPostgres
  /// Follows ``server``.
  let standby: LocalPostgres?
  let fleet: DrillFleet
  let load: OrdersLoad

  private init(server: LocalPostgres, standby: LocalPostgres?, fleet: DrillFleet, load: OrdersLoad) {
    self.server = server
    self.standby = standby
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

  enum StandbyKind { case synchronous, asynchronous }

  /// - Parameter options: further arguments of every worker.
  static func run(
    failover: Duration = .seconds(2),
    recordPause: Duration = .zero,
    transactionsPerSecond: Int = 200,
    standby kind: StandbyKind? = nil,
    options: [String] = [],
    withPooler: Bool = false,
    hasLeasesElsewhere: Bool = false,
    _ body: @Sendable @escaping (FleetUnderTest) async throws -> Void
  ) async throws {
    let files = try TemporaryDirectory()
    defer { withExtendedLifetime(files) {} }
    var configuration = LocalPostgresConfiguration()
    configuration.listensOnTCP = kind != nil
    try await withLocalPostgres(configuration) { server in
      let standby: LocalPostgres? =
        if let kind { try await Standby.start(of: server, isSynchronous: kind == .synchronous) } else { nil }
      let pooler = withPooler ? try await Pooler.start(inFrontOf: server) : nil
      if hasLeasesElsewhere {
        let connection = try await Standby.connect(to: server)
        try await connection.execute("CREATE DATABASE leases")
        await connection.close()
      }
      let fleet = try await DrillFleet(
        database: pooler?.url ?? standby.map { server.url(orOn: $0) } ?? server.url(),
        leases: hasLeasesElsewhere ? server.url(database: "leases") : nil,
        executable: try executable(),
        directory: files.path,
        options: [
          "--failover-milliseconds", String(Int(failover / .milliseconds(1))),
          "--record-pause-microseconds", String(Int(recordPause / .microseconds(1))),
        ] + options
      )
      let load = OrdersLoad(fleet.table, transactionsPerSecond: transactionsPerSecond)
      let test = FleetUnderTest(server: server, standby: standby, fleet: fleet, load: load)
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
      if hasLeasesElsewhere { await fleet.leasePool.close() }
      await standby?.stop(mode: .immediate)
      withExtendedLifetime(pooler) {}
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

  /// Lets the database fail while the fleet works, and expects that nobody takes a lease for it: neither at once,
  /// nor by the heartbeats that were missed.
  func expectLeasesStay(failover: Duration, through outage: () async throws -> Void) async throws {
    try await fleet.wait("something is handled") { try !fleet.history().isEmpty }
    let shardCount = try await fleet.standing().leases.count
    let before = try await fleet.audit.changes().count
    try await outage()
    let moment = HistoryEntry.now()
    // Two failover intervals later everybody had time to judge everybody.
    for start in [moment, moment + Int64(failover / .microseconds(1)) * 2] {
      try await fleet.wait("every shard is read again") {
        let shards = try fleet.history().filter { $0.at > start && $0.kind == .handled }.map(\.shard)
        return Set(shards).count == shardCount
      }
    }
    let standing = try await fleet.standing()
    // From one worker to another goes what is handed over for balance; what is taken is nobody's in between.
    let taken = try await fleet.audit.changes().dropFirst(before).filter {
      $0.oldOwner != nil && $0.newOwner == nil
    }
    #expect(taken.isEmpty)
    #expect(standing.workers.values.allSatisfy { $0.state == .active }, "nobody was declared dead")
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
