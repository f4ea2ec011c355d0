import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@Suite("A worker whose processor hangs")
struct StalledWorkerTests {
  /// The records with this key hang, and know nothing of cancellation, until the gate is opened.
  private struct HangingProcessor: RecordProcessor {
    var worker: String
    var gate: Gate
    var history: TestFleet.History
    var context: ShardContext

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      if await gate.pass(worker) {
        // In a task of its own, because this one was cancelled; the lease's epoch is over all the same.
        let error = await #expect(throws: TidemarkError.self) {
          try await Task { try await checkpointer.checkpoint() }.value
        }
        #expect(error?.code == .leaseLost)
        throw CancellationError()
      }
      var next = HistoryProcessor(worker: worker, history: history, context: context)
      try await next.process(batch, checkpointer: checkpointer)
    }
  }

  /// Holds whoever comes first for one worker, once.
  private final class Gate: Sendable {
    private struct State {
      var worker: String?
      var held: CheckedContinuation<Void, Never>?
      var isOpen = false
    }

    private let state: Mutex<State>

    init(for worker: String) { state = Mutex(State(worker: worker)) }

    var isHolding: Bool { state.withLock { $0.held != nil } }

    func pass(_ worker: String) async -> Bool {
      let isHeld = state.withLock { state in
        guard state.worker == worker, !state.isOpen else { return false }
        state.worker = nil
        return true
      }
      guard isHeld else { return false }
      await withCheckedContinuation { continuation in
        let isOpen = state.withLock { state in
          if !state.isOpen { state.held = continuation }
          return state.isOpen
        }
        if isOpen { continuation.resume() }
      }
      return true
    }

    func open() {
      let held = state.withLock { state in
        defer { (state.isOpen, state.held) = (true, nil) }
        return state.held
      }
      held?.resume()
    }
  }

  private func fleet(shards: Int, givesLeaseAway: Bool) -> TestFleet {
    TestFleet(shards: shards) {
      $0.failover.interval = .seconds(2)
      $0.failover.margin = .milliseconds(200)
      $0.stall.timeout = $0.failover.interval
      $0.stall.givesLeaseAway = givesLeaseAway
    }
  }

  private func member(_ name: String, of fleet: TestFleet, gate: Gate) throws -> TestFleet.Member {
    let history = fleet.history
    return try fleet.member(name) { shard in
      HangingProcessor(worker: name, gate: gate, history: history, context: shard)
    }
  }

  @Test(
    "a worker whose processor hangs gives the lease to another, which handles everything, and is not given it back while it hangs"
  )
  func givesAway() async throws {
    let fleet = fleet(shards: 4, givesLeaseAway: true)
    let gate = Gate(for: "hanging")
    let members = try ["hanging", "other"].map { try member($0, of: fleet, gate: gate) }
    try await fleet.run(members) { fleet in
      defer { gate.open() }
      try await eventually("balance") {
        Dictionary(grouping: fleet.leases(), by: \.owner).values.map(\.count) == [2, 2]
      }
      try fleet.put(0..<100)
      try await eventually("all handled, by the other what hangs") {
        Set(fleet.history.entries.map(\.key)).count == 100
      }
      #expect(gate.isHolding)
      let stalls = fleet.history.stalls
      #expect(stalls.count == 1)
      let stalled = try #require(stalls.first)
      let lease = try #require(fleet.leases().first { $0.shardID == stalled.shardID })
      #expect(lease.owner == fleet.incarnation(of: "other"))
      #expect(lease.epoch == stalled.epoch.next.next, "given up once and taken once")
      try await eventually("balance without the shard that is refused") {
        Dictionary(grouping: fleet.leases(), by: \.owner).values.map(\.count) == [2, 2]
      }
      let owners = fleet.leases().map(\.owner)
      // Several rounds of planning and looking change nothing.
      try await ContinuousClock().sleep(for: fleet.configuration.failover.interval)
      #expect(fleet.leases().map(\.owner) == owners)
      gate.open()
      try await eventually("the hanging consumer's end") {
        fleet.history.leaseEnds.contains { $0.grant == stalled && $0.how == .lost }
      }
    }
    #expect(fleet.history.entries.count == 100, "nothing was handled twice")
    #expect(fleet.history.deaths == 0)
  }

  @Test(
    "a worker whose processor hangs and that is alone leaves the lease to nobody, and takes it again once the call has ended"
  )
  func alone() async throws {
    let fleet = fleet(shards: 1, givesLeaseAway: true)
    let gate = Gate(for: "hanging")
    try await fleet.run([member("hanging", of: fleet, gate: gate)]) { fleet in
      defer { gate.open() }
      try fleet.put(0..<10)
      try await eventually("given up") { fleet.leases().first.map { $0.epoch > Epoch(1) } ?? false }
      #expect(fleet.leases().first?.owner == nil)
      #expect(fleet.leases().first?.epoch == Epoch(2))
      gate.open()
      try await eventually("all handled") { fleet.history.entries.count == 10 }
    }
    #expect(fleet.history.entries.allSatisfy { $0.grant.epoch == Epoch(3) })
  }

  @Test("a worker whose processor hangs and that is alone leaves the lease to a worker that joins later")
  func laterWorker() async throws {
    let fleet = fleet(shards: 1, givesLeaseAway: true)
    let gate = Gate(for: "hanging")
    let late = try member("late", of: fleet, gate: gate)
    try await fleet.run([member("hanging", of: fleet, gate: gate)]) { fleet in
      defer { gate.open() }
      try fleet.put(0..<10)
      try await eventually("given up") { fleet.leases().contains { $0.epoch == Epoch(2) } }
      try await fleet.run([late]) { fleet in
        try await eventually("all handled") { fleet.history.entries.count == 10 }
        #expect(gate.isHolding)
      }
    }
    #expect(fleet.history.entries.allSatisfy { $0.worker == "late" })
  }

  @Test("a worker whose processor hangs is only reported where nothing else was asked for")
  func reportOnly() async throws {
    let fleet = fleet(shards: 1, givesLeaseAway: false)
    let gate = Gate(for: "slow")
    let history = fleet.history
    let member = try fleet.member("slow") { shard in
      SlowProcessor(gate: gate, next: HistoryProcessor(worker: "slow", history: history, context: shard))
    }
    try await fleet.run([member]) { fleet in
      defer { gate.open() }
      try fleet.put(0..<10)
      try await eventually("reported") { fleet.history.stalls.count == 1 }
      gate.open()
      try await eventually("all handled") { fleet.history.entries.count == 10 }
      #expect(fleet.leases().first?.epoch == Epoch(1), "the lease stays where it is")
    }
    #expect(fleet.history.stalls.count == 1)
  }

  private struct SlowProcessor: RecordProcessor {
    var gate: Gate
    var next: HistoryProcessor

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      _ = await gate.pass("slow")
      try await next.process(batch, checkpointer: checkpointer)
    }
  }

  @Test("a worker that waits for an outage of the store to end is not reported as stalled")
  func outage() async throws {
    let fleet = fleet(shards: 1, givesLeaseAway: true)
    let member = try fleet.member("a")
    try await fleet.run([member]) { fleet in
      try fleet.put(0..<10)
      try await eventually("handled") { fleet.history.entries.count == 10 }
      member.store.injectFaults { _ in LeaseStoreFault(.refused) }
      try fleet.put(10..<20)
      try await ContinuousClock().sleep(for: fleet.configuration.failover.interval * 3)
      member.store.injectFaults(nil)
      try await eventually("the rest") { Set(fleet.history.entries.map(\.key)).count == 20 }
    }
    #expect(fleet.history.stalls.isEmpty)
  }
}
