import Testing
import Tidemark
import TidemarkTestKit

/// The faults of the in-memory store; what it does without them is in `LeaseStoreConformance`.
@Suite("The in-memory lease store's faults")
struct InMemoryLeaseStoreTests {
  private let clock = ManualClock()
  private let store: InMemoryLeaseStore
  private let scope = LeaseScope(application: "application")

  init() {
    store = InMemoryLeaseStore(clock: clock)
  }

  private func register() async throws -> WorkerIncarnation {
    try await store.register(
      WorkerRegistration(
        scope: scope,
        workerID: "worker",
        host: "host",
        processID: 1,
        failoverInterval: .seconds(10)
      )
    )
  }

  private func grant(_ shardID: String, to owner: WorkerIncarnation) async throws -> LeaseGrant {
    _ = try await store.createLeases([NewLease(shard: Shard(id: shardID), checkpoint: .latest)], in: scope)
    _ = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(1)) { _ in
      [.assign(shardID: shardID, to: owner)]
    }
    return LeaseGrant(scope: scope, shardID: shardID, owner: owner, epoch: Epoch(1))
  }

  @Test(
    "the in-memory store's faults reach the caller, which cannot know from a lost answer what was done",
    arguments: [
      (LeaseStoreFault.Outcome.refused, TidemarkError.Code.storeUnavailable, false),
      (.requestLost, .outcomeUnknown, false),
      (.replyLost, .outcomeUnknown, true),
    ]
  )
  func outcomes(_ outcome: LeaseStoreFault.Outcome, _ code: TidemarkError.Code, _ isDone: Bool) async throws {
    let grant = try await grant("a", to: register())
    store.injectFaults { call in call.method == .checkpoint ? LeaseStoreFault(outcome) : .none }
    let error = await #expect(throws: TidemarkError.self) {
      try await store.checkpoint([CheckpointWrite(grant: grant, checkpoint: .record(1))])
    }
    #expect(error?.code == code)
    #expect(store.currentLeases(in: scope)[0].checkpoint == (isDone ? .record(1) : .latest))
    store.injectFaults(nil)
    let again = try await store.checkpoint([CheckpointWrite(grant: grant, checkpoint: .record(1))])
    #expect(again == [.accepted])
  }

  @Test("strike one process's store and not another's")
  func processes() async throws {
    let other = InMemoryLeaseStore(sharing: store)
    other.injectFaults { _ in LeaseStoreFault(.refused) }
    let worker = try await register()
    await #expect(throws: TidemarkError.self) { try await other.workers(in: scope) }
    #expect(try await store.workers(in: scope).map(\.incarnation) == [worker])
  }

  @Test("keep a request on its way, and a late write is refused")
  func delay() async throws {
    let owner = try await register()
    let grant = try await grant("a", to: owner)
    let slow = InMemoryLeaseStore(sharing: store)
    slow.injectFaults { _ in LeaseStoreFault(delayBefore: .seconds(3)) }
    async let late = slow.checkpoint([CheckpointWrite(grant: grant, checkpoint: .record(1))])
    while clock.sleeperCount == 0 { await Task.yield() }
    #expect(try await store.transfer(grant) == .accepted)
    clock.advance(by: .seconds(3))
    #expect(try await late == [.leaseLost])
  }

  @Test("pause a planning round: others are turned away, and it applies only to what is still as it saw it")
  func pausedPlan() async throws {
    let (owner, other) = (try await register(), try await register())
    let first = try await grant("a", to: owner)
    _ = try await store.createLeases([NewLease(shard: Shard(id: "b"), checkpoint: .latest)], in: scope)
    let slow = InMemoryLeaseStore(sharing: store)
    slow.injectFaults { _ in LeaseStoreFault(delayInside: .seconds(1)) }
    async let paused = slow.plan(as: other, in: scope, handoffTimeout: .seconds(1)) { _ in
      [.handOff(shardID: "a", to: other), .assign(shardID: "b", to: other)]
    }
    while clock.sleeperCount == 0 { await Task.yield() }
    let turnedAway = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(1)) { _ in [] }
    #expect(turnedAway == .busy)
    #expect(try await store.transfer(first) == .accepted)
    clock.advance(by: .seconds(1))
    #expect(try await paused == .applied([.assign(shardID: "b", to: other)], dead: []))
    #expect(try await store.look(as: other, in: scope).needsPlan)
  }

  @Test("end a planning round that is paused for too long")
  func endedPlan() async throws {
    let (worker, other) = (try await register(), try await register())
    _ = try await store.createLeases([NewLease(shard: Shard(id: "a"), checkpoint: .latest)], in: scope)
    let slow = InMemoryLeaseStore(sharing: store)
    slow.injectFaults { _ in LeaseStoreFault(delayInside: .seconds(8)) }
    async let paused = slow.plan(as: worker, in: scope, handoffTimeout: .seconds(1)) { _ in
      [.assign(shardID: "a", to: worker)]
    }
    while clock.sleeperCount == 0 { await Task.yield() }
    clock.advance(by: .seconds(6))
    let step = Assignment.assign(shardID: "a", to: other)
    let outcome = try await store.plan(as: other, in: scope, handoffTimeout: .seconds(1)) { _ in [step] }
    #expect(outcome == .applied([step], dead: []))
    clock.advance(by: .seconds(2))
    do {
      _ = try await paused
      Issue.record("The round was applied.")
    } catch let error as TidemarkError {
      #expect(error.code == .storeUnavailable)
    }
    #expect(store.currentLeases(in: scope)[0].owner == other)
  }
}
