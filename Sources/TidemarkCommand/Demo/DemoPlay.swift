import FleetDrill
import Foundation
import Synchronization
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// What happens in a demonstration, and what is found at its end.
final class DemoPlay: Sendable {
  private let fleet: DrillFleet
  private let view: FleetView
  private let load: OrdersLoad
  private let isOver = Mutex(false)
  /// Records that were handled again after a drain, which promises that there are none.
  private let repeatedByDrain = Mutex(0)

  init(fleet: DrillFleet, view: FleetView, rate: Int) {
    self.fleet = fleet
    self.view = view
    load = OrdersLoad(fleet.table, transactionsPerSecond: rate)
  }

  /// - Returns: whether everything was right.
  func run() async throws -> Bool {
    await view.begin()
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.load.run() }
      group.addTask { try await self.show() }
      defer { group.cancelAll() }
      return try await play()
    }
  }

  private func show() async throws {
    while !isOver.withLock({ $0 }) {
      try await draw()
      try await ContinuousClock().sleep(for: .milliseconds(250))
    }
  }

  private func draw(always: Bool = false) async throws {
    await view.draw(
      try await fleet.standing(),
      unread: try await fleet.unread(),
      transactions: load.transactions,
      always: always
    )
  }

  private func play() async throws -> Bool {
    let began = ContinuousClock.now
    let first = try fleet.start("worker-1")
    let second = try fleet.start("worker-2")
    let third = try fleet.start("worker-3")
    try await balance(of: ["worker-1", "worker-2", "worker-3"])
    await view.happened(
      "three workers share the shards, \(seconds(began.duration(to: .now))) after they were started"
    )
    try await pass(.seconds(3))

    try await splitShard()
    try await pass(.seconds(2))
    try await crash(first)
    try await pass(.seconds(2))
    try await pauseAndResume(second)
    try await pass(.seconds(2))
    try await drain(third)
    try await pass(.seconds(2))

    load.stop()
    await view.happened(
      "the writes stop after \(load.transactions) transactions; waiting until all is handled"
    )
    try await fleet.waitUntilConsumed()
    _ = try await fleet.endWorkers()
    isOver.withLock { $0 = true }
    return try await report()
  }

  private func pass(_ duration: Duration) async throws {
    try await draw(always: true)
    try await ContinuousClock().sleep(for: duration)
  }

  private func balance(of names: [String]) async throws {
    try await fleet.wait("the fleet is balanced") { try await fleet.standing().isBalanced(among: names) }
  }

  // MARK: The acts

  private func splitShard() async throws {
    guard let shard = try await fleet.standing().leases.first(where: { !$0.isEnded })?.shardID else { return }
    let children = try await fleet.admin.split(shard, of: "orders")
    await view.happened("\(shard) is split in two")
    try await fleet.wait("the children are read") {
      let history = try fleet.history()
      return children.allSatisfy { child in history.contains { $0.shard == child && $0.kind == .leaseStarted }
      }
    }
    let history = try fleet.history()
    let end = history.last { $0.shard == shard && $0.kind == .shardEnded }?.at ?? 0
    let starts = children.compactMap { child in
      history.first { $0.shard == child && $0.kind == .leaseStarted }?.at
    }
    await view.happened(
      "its children are read \(milliseconds(.microseconds((starts.max() ?? end) - end))) after its end"
    )
  }

  private func crash(_ victim: WorkerProcess) async throws {
    let shards = try await fleet.standing().shards(of: victim.name)
    let moment = HistoryEntry.now()
    victim.crash()
    await view.happened("SIGKILL: \(victim.name) is gone; it had \(shards.count) shards")
    try await takeover(of: shards, from: victim, since: moment)
    _ = try fleet.start("worker-4")
    try await balance(of: ["worker-2", "worker-3", "worker-4"])
    await view.happened("worker-4 joined and has its share")
  }

  private func pauseAndResume(_ victim: WorkerProcess) async throws {
    let shards = try await fleet.standing().shards(of: victim.name)
    let moment = HistoryEntry.now()
    victim.pause()
    await view.happened(
      "SIGSTOP: \(victim.name) stands still with its connections open; it had \(shards.count) shards"
    )
    try await takeover(of: shards, from: victim, since: moment)
    victim.resume()
    await view.happened(
      "SIGCONT: \(victim.name) wakes up and does not know that its shards are read by others"
    )
    try await fleet.wait("the paused worker learns that it lost its shards") {
      try fleet.history().contains { $0.worker == victim.name && $0.kind == .leaseLost && $0.at > moment }
    }
    try await balance(of: ["worker-2", "worker-3", "worker-4"])
    await view.happened("\(victim.name) has noticed, and has a share again")
  }

  private func takeover(of shards: [String], from victim: WorkerProcess, since moment: Int64) async throws {
    try await fleet.wait("every shard of \(victim.name) is read again") {
      DrillFleet.recoveries(of: shards, from: victim.name, since: moment, in: try fleet.history()).count
        == shards.count
    }
    let found = DrillFleet.recoveries(of: shards, from: victim.name, since: moment, in: try fleet.history())
    guard let first = found.values.min(), let last = found.values.max() else { return }
    await view.happened(
      "failover: first record after \(milliseconds(first)), records of all its shards after \(milliseconds(last))"
    )
  }

  private func drain(_ leaving: WorkerProcess) async throws {
    let moment = HistoryEntry.now()
    let began = ContinuousClock.now
    leaving.terminate()
    try await leaving.waitUntilExit()
    await view.happened(
      "SIGTERM: \(leaving.name) handed everything off and ended after \(milliseconds(began.duration(to: .now)))"
    )
    try await balance(of: ["worker-2", "worker-4"])
    let repeats = FleetCheck.repeats(in: try fleet.history(), since: moment)
    repeatedByDrain.withLock { $0 = repeats }
    await view.happened(
      repeats == 0 ? "nobody missed it: 0 records were repeated" : "\(repeats) records were repeated"
    )
  }

  // MARK: The end

  private func report() async throws -> Bool {
    try await draw(always: true)
    let check = try await fleet.check()
    print(
      """

      Committed changes             \(check.committed)
      Delivered                     \(check.delivered)
      Repeated                      \(check.repeats)   (handled by the killed or paused worker, not checkpointed yet)
      Stale checkpoints refused     \(check.refusedCheckpoints)
      Order, lineage, epochs        \(check.violations.isEmpty ? "as promised" : "VIOLATED")
      """
    )
    for violation in check.violations { print("  - \(violation)") }
    let isGood =
      check.violations.isEmpty && check.committed > 0 && check.delivered == check.committed
      && repeatedByDrain.withLock { $0 == 0 }
    print(isGood ? "\nEvery change was delivered, in order." : "\nThe check has failed.")
    return isGood
  }

  private func milliseconds(_ duration: Duration) -> String {
    String(format: "%.0f ms", duration / .milliseconds(1))
  }

  private func seconds(_ duration: Duration) -> String {
    String(format: "%.1f s", duration / .seconds(1))
  }
}
