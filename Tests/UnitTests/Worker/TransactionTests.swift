import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@Suite("A processor with transactions of its own, in memory")
struct InMemoryTransactionTests {
  /// Adds up in the transaction that moves the checkpoint.
  private struct Adder: RecordProcessor {
    var store: InMemoryLeaseStore
    var effects: Effects

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      let keys = batch.map(\.partitionKey)
      try await store.transaction { [effects] transaction in
        transaction.stage { effects.keys.withLock { $0 += keys } }
        try await checkpointer.checkpoint(in: transaction)
      }
    }
  }

  private final class Effects: Sendable {
    let keys = Mutex<[String]>([])
    let commits = Mutex(0)
  }

  @Test("takes effect exactly once, whatever becomes of its commits and their answers")
  func exactlyOnce() async throws {
    let fleet = TestFleet(shards: 1) { $0.reading.maximumRecords = 4 }
    let effects = Effects()
    let connection = InMemoryLeaseStore(sharing: fleet.store)
    connection.injectFaults { call in
      guard call.method == .commit else { return .none }
      let number = effects.commits.withLock { commits in
        commits += 1
        return commits
      }
      return LeaseStoreFault(number % 3 == 0 ? .replyLost : number % 3 == 1 ? .requestLost : .answered)
    }
    let member = try fleet.member("a") { _ in Adder(store: connection, effects: effects) }
    try await fleet.run([member]) { fleet in
      for start in stride(from: 0, to: 60, by: 20) {
        try fleet.put(start..<(start + 20))
        try await eventually("all have taken effect") {
          Set(effects.keys.withLock { $0 }).count == start + 20
        }
      }
    }
    #expect(effects.keys.withLock { $0 } == (0..<60).map(String.init))
    #expect(fleet.history.failures > 0)
  }

  @Test("whose lease is lost meanwhile takes no effect")
  func lost() async throws {
    let fleet = TestFleet(shards: 1)
    let effects = Effects()
    let member = try fleet.member("a") { [store = fleet.store] shard in
      LosingAdder(store: store, effects: effects, shard: shard)
    }
    try await fleet.run([member]) { fleet in
      try fleet.put(0..<1)
      try await eventually("the second owner's effect") { effects.keys.withLock { $0.count } == 1 }
    }
    #expect(effects.keys.withLock { $0 } == ["0"])
    #expect(fleet.history.leaseEnds.first?.how == .lost)
  }

  /// An operator resets its first lease after it has written the checkpoint.
  private struct LosingAdder: RecordProcessor {
    var store: InMemoryLeaseStore
    var effects: Effects
    var shard: ShardContext

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      let keys = batch.map(\.partitionKey)
      try await store.transaction { [effects, store, shard] transaction in
        transaction.stage { effects.keys.withLock { $0 += keys } }
        try await checkpointer.checkpoint(in: transaction)
        if shard.epoch == 1 {
          _ = try await store.reset(shard.grant.key, in: shard.grant.scope, to: .trimHorizon)
        }
      }
    }
  }
}
