import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@Suite("A processor that keeps records until it is woken, in memory")
struct WokenProcessorTests {
  /// Keeps what it is given, and handles it when it is woken.
  private struct Keeper: RecordProcessor {
    var inner: HistoryProcessor
    var calls: Calls
    var pause: Duration
    private var kept: [Record] = []

    init(_ shard: ShardContext, _ fleet: TestFleet, _ calls: Calls, pause: Duration) {
      inner = HistoryProcessor(worker: "a", history: fleet.history, context: shard)
      self.calls = calls
      self.pause = pause
    }

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      calls.add("process", inner.context)
      if kept.isEmpty { checkpointer.wakeUp(after: pause) }
      kept += batch
    }

    mutating func wokenUp(checkpointer: Checkpointer) async throws {
      calls.add("wokenUp", inner.context)
      try await handle(checkpointer)
    }

    mutating func shutdownRequested(checkpointer: Checkpointer) async throws {
      calls.add("shutdownRequested", inner.context)
      try await handle(checkpointer)
    }

    mutating func leaseLost() async { calls.add("leaseLost", inner.context) }

    private mutating func handle(_ checkpointer: Checkpointer) async throws {
      for record in kept {
        inner.history.add(
          .init(
            worker: "a",
            grant: inner.context.grant,
            key: record.partitionKey,
            sequenceNumber: record.sequenceNumber
          )
        )
      }
      kept = []
      try await checkpointer.checkpoint()
    }
  }

  private final class Calls: Sendable {
    private let noted = Mutex<[(call: String, epoch: Epoch)]>([])
    var all: [(call: String, epoch: Epoch)] { noted.withLock { $0 } }
    func add(_ call: String, _ shard: ShardContext) { noted.withLock { $0.append((call, shard.epoch)) } }
  }

  private let calls = Calls()

  private func member(of fleet: TestFleet, pause: Duration) throws -> TestFleet.Member {
    try fleet.member("a") { [calls] shard in Keeper(shard, fleet, calls, pause: pause) }
  }

  @Test("handles and checkpoints them then, though no further record comes")
  func handles() async throws {
    let fleet = TestFleet(shards: 1)
    try await fleet.run([member(of: fleet, pause: .milliseconds(30))]) { fleet in
      for count in [5, 10] {
        try fleet.put((count - 5)..<count)
        try await eventually("they are checkpointed") {
          guard let lease = fleet.leases().first else { return false }
          return lease.checkpoint == fleet.stream.records(of: lease.shardID).last?.checkpoint
        }
        #expect(fleet.history.entries.count == count)
      }
    }
    #expect(calls.all.map(\.call).count { $0 == "wokenUp" } >= 2)
  }

  @Test("handles and checkpoints them before the lease goes to another worker")
  func handsOff() async throws {
    let fleet = TestFleet(shards: 1)
    try await fleet.run([member(of: fleet, pause: .seconds(3600))]) { fleet in
      try fleet.put(0..<5)
      try await eventually("they are kept") { !calls.all.isEmpty }
      #expect(fleet.history.entries.isEmpty)
    }
    #expect(fleet.history.entries.count == 5)
    #expect(fleet.leases()[0].checkpoint != .trimHorizon)
  }

  @Test("is not woken under a lease that it has lost; the next owner is given them again")
  func lost() async throws {
    let fleet = TestFleet(shards: 1)
    try await fleet.run([member(of: fleet, pause: .seconds(2))]) { fleet in
      try fleet.put(0..<5)
      try await eventually("they are kept") { !calls.all.isEmpty }
      let shardID = fleet.leases()[0].shardID
      _ = try await fleet.store.reset(shardID, in: fleet.scope, to: .trimHorizon)
      try await eventually("the next owner has handled them") { fleet.history.entries.count == 5 }
    }
    let first = try #require(calls.all.first?.epoch)
    let underFirst = calls.all.filter { $0.epoch == first }.map(\.call)
    #expect(!underFirst.contains("wokenUp") && underFirst.last == "leaseLost")
    #expect(fleet.history.entries.allSatisfy { $0.grant.epoch > first })
  }

  @Test("can ask when it is initialized, for what the last owner has left to be completed in time")
  func initialized() async throws {
    struct Completer: RecordProcessor {
      var calls: Calls
      var shard: ShardContext
      mutating func initialize(_ shard: ShardContext) async throws { shard.wakeUp(after: .milliseconds(5)) }
      mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {}
      mutating func wokenUp(checkpointer: Checkpointer) async throws { calls.add("wokenUp", shard) }
    }
    let fleet = TestFleet(shards: 1)
    let member = try fleet.member("a") { [calls] shard in Completer(calls: calls, shard: shard) }
    try await fleet.run([member]) { _ in
      try await eventually("it is woken") { calls.all.map(\.call) == ["wokenUp"] }
    }
  }
}
