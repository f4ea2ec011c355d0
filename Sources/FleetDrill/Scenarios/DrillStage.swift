import Foundation
import LibPQ
import LocalPostgres
import Tidemark

/// A fleet at work under steady writes, on which a scenario is played.
actor DrillStage {
  let drill: Drill
  let scenario: DrillScenario
  let fleet: DrillFleet
  let load: OrdersLoad
  /// The workers that are meant to be at work, the longest-serving first.
  var members: [WorkerProcess] = []
  private var started = 0

  private init(_ drill: Drill, _ scenario: DrillScenario, fleet: DrillFleet) {
    self.drill = drill
    self.scenario = scenario
    self.fleet = fleet
    load = OrdersLoad(fleet.table, transactionsPerSecond: drill.transactionsPerSecond)
  }

  /// What a scenario measured, and what the check found after it.
  struct Outcome {
    var measures: [DrillMeasure]
    var violations: [String]

    /// Sets a stage up in an empty database, plays, waits until all is handled, and checks everything.
    init(
      _ drill: Drill,
      _ scenario: DrillScenario,
      database: String,
      _ play: @escaping @Sendable (DrillStage) async throws -> [DrillMeasure]
    ) async throws {
      let directory = try PrivateFiles.makeTemporaryDirectory("tidemark-drill")
      defer { try? FileManager.default.removeItem(atPath: directory) }
      let fleet = try await DrillFleet(
        database: database,
        executable: drill.executable,
        directory: directory,
        shards: drill.shards
      )
      defer { fleet.killAll() }
      let stage = DrillStage(drill, scenario, fleet: fleet)
      measures = try await stage.underLoad { try await play(stage) }
      violations = try await Self.finish(fleet)
      await fleet.pool.close()
    }

    private static func finish(_ fleet: DrillFleet) async throws -> [String] {
      try await fleet.waitUntilConsumed()
      let disorderly = try await fleet.endWorkers()
      let check = try await fleet.check()
      return check.violations + disorderly.map { "\($0) did not end in good order" }
        + (check.committed > 0 ? [] : ["nothing was written"])
    }
  }

  private nonisolated func underLoad(
    _ play: @escaping @Sendable () async throws -> [DrillMeasure]
  ) async throws -> [DrillMeasure] {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.load.run() }
      defer { group.cancelAll() }
      let measures = try await play()
      load.stop()
      try await group.waitForAll()
      return measures
    }
  }

  // MARK: Members

  /// - Parameter network: where it gets a host of its own.
  func addMember(on network: DrillNetwork? = nil) throws {
    started += 1
    let name = "worker-\(started)"
    members.append(try fleet.start(name, launcher: try network?.addHost(name) ?? []))
  }

  func addMembers() throws {
    for _ in 1...drill.workers { try addMember() }
  }

  /// Waits until every shard is read by a member and none has two more than another.
  /// - Returns: the moment at which the last shard was started by its owner, as ``HistoryEntry/at``.
  @discardableResult
  func balanced() async throws -> Int64 {
    let names = members.map(\.name)
    var moment: Int64 = 0
    try await fleet.wait("the fleet is balanced") {
      let standing = try await fleet.standing()
      guard standing.isBalanced(among: names) else { return false }
      let starts = try standing.open.map { try fleet.follower.start(of: $0.shardID, epoch: $0.epoch.number) }
      moment = starts.compactMap(\.self).max() ?? 0
      return !starts.contains(nil)
    }
    return moment
  }

  /// Waits until the fleet is balanced, has worked for a second since, so that it does not measure how a worker that
  /// joined just now starts up, and the next victim handles records of each of its shards.
  func settledVictim() async throws -> (victim: WorkerProcess, shards: [String]) {
    let settled = try await balanced() + 1_000_000
    let victim = members[0]
    let shards = try await fleet.standing().shards(of: victim.name)
    try await fleet.wait("\(victim.name) handles records of each of its shards") {
      let handled = try fleet.follower.entries(since: settled).filter {
        $0.worker == victim.name && $0.kind == .handled
      }
      return Set(handled.map(\.shard)).isSuperset(of: shards)
    }
    return (victim, shards)
  }

  /// Waits until each of `shards` is read by somebody else.
  /// - Returns: how long after `moment` the first and the last of them was.
  func recovery(
    of shards: [String],
    from victim: WorkerProcess,
    since moment: Int64
  ) async throws -> (first: Duration, last: Duration) {
    var found: [String: Duration] = [:]
    try await fleet.wait("every shard of \(victim.name) is read again") {
      let history = try fleet.follower.entries(since: moment)
      found = DrillFleet.recoveries(of: shards, from: victim.name, since: moment, in: history)
      return found.count == shards.count
    }
    return (found.values.min() ?? .zero, found.values.max() ?? .zero)
  }

  // MARK: Telling

  func tell(_ round: Int, _ what: String) {
    drill.progress("\(scenario.rawValue) \(round)/\(drill.rounds): \(what)")
  }
}

extension Duration {
  var inSeconds: String { String(format: "%.3f s", self / .seconds(1)) }
}
