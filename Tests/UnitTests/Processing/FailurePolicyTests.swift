import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@Suite("The failure policy")
struct FailurePolicyTests {
  struct Poison: Error {}

  /// Fails on the records that it was given; handles the others one at a time.
  final class Picky: CheckpointingProcessor {
    private let history: TestFleet.History
    private let fails: @Sendable (Record) -> Bool

    init(_ history: TestFleet.History, fails: @escaping @Sendable (Record) -> Bool) {
      self.history = history
      self.fails = fails
    }

    override func handle(_ record: Record) async throws {
      if fails(record) { throw Poison() }
      guard let shard else { return }
      history.add(
        .init(
          worker: "a",
          grant: shard.grant,
          key: record.partitionKey,
          sequenceNumber: record.sequenceNumber
        )
      )
    }
  }

  /// Fails as a whole if the batch has a poisonous record, without saying which.
  struct Blunt: RecordProcessor {
    var history: TestFleet.History
    var context: ShardContext

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      if batch.contains(where: { $0.partitionKey == "13" }) { throw Poison() }
      for record in batch {
        history.add(
          .init(
            worker: "a",
            grant: context.grant,
            key: record.partitionKey,
            sequenceNumber: record.sequenceNumber
          )
        )
      }
      try await checkpointer.checkpoint()
    }
  }

  @Test("a processor that throws for ever holds up its own shard and no other")
  func isolation() async throws {
    let fleet = TestFleet(shards: 4)
    try fleet.put(0..<100)
    let history = fleet.history
    let poisoned = try #require(fleet.stream.shardID(taking: "13"))
    let member = try fleet.member("a") { _ in Picky(history) { $0.partitionKey == "13" } }
    let healthy = (0..<100).map(String.init).filter { fleet.stream.shardID(taking: $0) != poisoned }
    try await fleet.run([member]) { fleet in
      try await eventually("the other shards") { Set(history.entries.map(\.key)).isSuperset(of: healthy) }
      try await eventually("many attempts") { history.failures > 10 }
    }
    #expect(!history.entries.contains { $0.key == "13" })
    #expect(
      Set(history.entries).count == history.entries.count,
      "a record before the failing one was repeated"
    )
  }

  @Test("an exhausted record goes to the dead-letter queue, alone, and the shard goes on")
  func deadLetter() async throws {
    let fleet = TestFleet(shards: 1) { $0.failurePolicy.maximumAttempts = 3 }
    try fleet.put(0..<50)
    let history = fleet.history
    let member = try fleet.member("a") { _ in Picky(history) { $0.partitionKey == "13" } }
    try await fleet.run([member]) { fleet in
      try await eventually("the others") { history.entries.count == 49 }
    }
    let shardID = try #require(fleet.leases().first?.shardID)
    let letters = fleet.store.deadLetters(of: OneStream.key(shardID), in: fleet.scope)
    #expect(letters.map(\.record.partitionKey) == ["13"])
    #expect(letters.map(\.attempts) == [3])
    #expect(history.failures == 3)
    #expect(history.entries.map(\.key) == (0..<50).map(String.init).filter { $0 != "13" })
  }

  @Test("halving isolates the record that fails a batch without a name")
  func bisect() async throws {
    let fleet = TestFleet(shards: 1) {
      $0.failurePolicy.maximumAttempts = 2
      $0.failurePolicy.bisectsBatch = true
    }
    try fleet.put(0..<40)
    let history = fleet.history
    let member = try fleet.member("a") { Blunt(history: history, context: $0) }
    try await fleet.run([member]) { fleet in
      try await eventually("the others") { history.entries.count == 39 }
    }
    let shardID = try #require(fleet.leases().first?.shardID)
    #expect(
      fleet.store.deadLetters(of: OneStream.key(shardID), in: fleet.scope).map(\.record.partitionKey) == [
        "13"
      ]
    )
    #expect(Set(history.entries.map(\.key)).count == 39)
  }

  @Test("with the policy to stop, nobody reads the shard until an operator resets it")
  func stop() async throws {
    let fleet = TestFleet(shards: 1) {
      $0.failurePolicy.maximumAttempts = 2
      $0.failurePolicy.whenExhausted = .stop
    }
    try fleet.put(0..<20)
    let history = fleet.history
    let isHealed = Flag()
    let member = try fleet.member("a") { _ in
      Picky(history) { $0.partitionKey == "13" && !isHealed.value.withLock { $0 } }
    }
    try await fleet.run([member]) { fleet in
      try await eventually("stopped") { fleet.leases().first?.stoppedReason != nil }
      let lease = try #require(fleet.leases().first)
      #expect(lease.owner == nil)
      #expect(lease.stoppedReason?.contains("Poison") == true)
      #expect(history.entries.count == 13)
      isHealed.value.withLock { $0 = true }
      _ = try await fleet.store.reset(lease.shardID, in: fleet.scope, to: nil)
      try await eventually("the rest") { history.entries.count == 20 }
    }
  }

  private final class Flag: Sendable {
    let value = Mutex(false)
  }

  @Test(
    "trimmed records stop the shard, or are skipped loudly, as the policy says",
    arguments: [true, false]
  )
  func trimmed(skips: Bool) async throws {
    let fleet = TestFleet(shards: 1) { $0.reading.trimmedData = skips ? .skipToHorizon : .stop }
    let shard = try #require(try await fleet.stream.shards().first)
    try fleet.put(0..<30)
    let records = fleet.stream.records(of: shard.id)
    _ = try await fleet.store.createLeases(
      [NewLease(shard: shard, checkpoint: records[5].checkpoint)],
      in: fleet.scope
    )
    fleet.stream.trim(shard.id, through: records[19].sequenceNumber)
    try await fleet.run([fleet.member("a")]) { fleet in
      if skips {
        try await eventually("the rest") { fleet.history.entries.count == 10 }
      } else {
        try await eventually("stopped") { fleet.leases().first?.stoppedReason != nil }
      }
    }
    #expect(fleet.history.trimmed == 1)
    #expect(fleet.history.entries.count == (skips ? 10 : 0))
  }

  @Test("what was prepared and not committed is given to the next owner")
  func prepared() async throws {
    struct Preparing: RecordProcessor {
      var seen: @Sendable (Lease.PendingCheckpoint?) -> Void
      mutating func initialize(_ shard: ShardContext) async throws { seen(shard.pendingCheckpoint) }
      mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
        guard batch.first?.partitionKey == "0" else { return }
        _ = try await checkpointer.prepareCheckpoint(at: batch.records.first, state: [4, 2])
      }
    }
    let fleet = TestFleet(shards: 1)
    try fleet.put(0..<3)
    let contexts = Contexts()
    for name in ["first", "second"] {
      try await fleet.run([fleet.member(name) { _ in Preparing(seen: { contexts.add($0) }) }]) { fleet in
        let count = name == "first" ? 1 : 2
        try await eventually("initialized and prepared") {
          contexts.all.count == count && fleet.leases().first?.pendingCheckpoint != nil
        }
      }
    }
    #expect(contexts.all.first == .some(nil))
    #expect(contexts.all.last??.state == [4, 2])
  }

  private final class Contexts: Sendable {
    private let pending = Mutex<[Lease.PendingCheckpoint?]>([])
    var all: [Lease.PendingCheckpoint?] { pending.withLock { $0 } }
    func add(_ value: Lease.PendingCheckpoint?) { pending.withLock { $0.append(value) } }
  }
}
