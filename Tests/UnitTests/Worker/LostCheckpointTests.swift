import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

/// A worker whose lease store has come back without checkpoints that it had confirmed, and whose grant is still good.
@Suite("Checkpoints that the store has lost", .sharesMachine)
struct LostCheckpointTests {
  @Test(
    "the consumer that goes on from them is started again from what the store has, also if nothing more comes",
    arguments: [2, 0]
  )
  func startsAgain(more: Int) async throws {
    let fleet = TestFleet(shards: 1)
    let shardID = try #require(try await fleet.stream.shards().first?.id)
    try await fleet.run([fleet.member("a")]) { fleet in
      try fleet.put(0..<3)
      try await committed(3, fleet)
      let backup = fleet.store.backUp()
      let epoch = try #require(fleet.leases().first?.epoch)
      try fleet.put(3..<6)
      try await committed(6, fleet)
      fleet.store.restartServer(on: backup)
      try fleet.put(6..<(6 + more))
      try await eventually("the lease is granted again") {
        try #require(fleet.leases().first?.epoch) > epoch
      }
      try await committed(6 + more, fleet)
      let again = fleet.history.entries.filter { $0.grant.epoch > epoch }.map(\.key)
      #expect(again == (3..<(6 + more)).map { "\($0)" }, "what was lost with its checkpoints is done again")
    }
    #expect(fleet.history.leaseEnds.map(\.how) == [.lost, .handedOff])
    let lost = fleet.history.losses.flatMap(\.checkpoints)
    #expect(lost.map(\.key.shardID) == [shardID])
    #expect(lost.allSatisfy { $0.committed > $0.checkpointNow })
  }

  @Test("a processor that goes on in spite of the refusal is given nothing further under that grant")
  func swallowed() async throws {
    struct Stubborn: RecordProcessor {
      var inner: HistoryProcessor
      mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
        try? await inner.process(batch, checkpointer: checkpointer)
      }
    }
    let fleet = TestFleet(shards: 1)
    let member = try fleet.member("a") { shard in
      Stubborn(inner: HistoryProcessor(worker: "a", history: fleet.history, context: shard))
    }
    try await fleet.run([member]) { fleet in
      try fleet.put(0..<3)
      try await committed(3, fleet)
      let backup = fleet.store.backUp()
      try fleet.put(3..<6)
      try await committed(6, fleet)
      fleet.store.restartServer(on: backup)
      try fleet.put(6..<8)
      try await committed(8, fleet)
    }
    #expect(Set(fleet.history.leaseEnds.map(\.how)) == [.lost, .handedOff])
  }

  @Test("a shard's end that was read before the store was started again is read again, and ends it then")
  func endOfAnotherHistory() async throws {
    let fleet = TestFleet(shards: 1)
    let shardID = try #require(try await fleet.stream.shards().first?.id)
    let (gate, open) = AsyncStream<Void>.makeStream()
    let ends = Mutex(0)
    let member = try fleet.member("a") { shard in
      Ending {
        guard shard.grant.shardID == shardID else { return }
        let count = ends.withLock { count in
          count += 1
          return count
        }
        if count == 1 {
          for await _ in gate { break }
        }
      }
    }
    try await fleet.run([member]) { fleet in
      try await eventually("started") { fleet.leases().first?.owner != nil }
      fleet.stream.split(shardID)
      try await eventually("the end was read") { ends.withLock { $0 } == 1 }
      fleet.store.restartServer()
      open.yield()
      try await eventually("ended") { fleet.leases().first { $0.shardID == shardID }?.isEnded == true }
    }
    #expect(ends.withLock { $0 } >= 2)
    #expect(fleet.history.leaseEnds.filter { $0.grant.shardID == shardID }.map(\.how).first == .lost)
  }

  private struct Ending: RecordProcessor {
    var end: @Sendable () async -> Void
    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      try await checkpointer.checkpoint()
    }
    mutating func shardEnded(checkpointer: Checkpointer) async throws { await end() }
  }

  private func committed(_ count: Int, _ fleet: TestFleet) async throws {
    try await eventually("\(count) records are passed") {
      guard let lease = fleet.leases().first else { return false }
      let records = fleet.stream.records(of: lease.shardID)
      return records.count == count && lease.checkpoint == records.last?.checkpoint
    }
  }
}
