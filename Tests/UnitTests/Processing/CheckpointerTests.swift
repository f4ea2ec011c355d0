import Synchronization
import Testing
import TidemarkTestKit

@testable import Tidemark

@Suite("The checkpointer")
struct CheckpointerTests {
  /// Keeps what it is asked to write, and refuses it if it should.
  private final class Sink: Checkpointer.Sink {
    let places = Mutex<[String]>([])
    let refuses = Mutex(false)

    func write(_ write: CheckpointWrite) async throws {
      places.withLock { $0.append("\(write.checkpoint) from \(write.from)") }
      try (refuses.withLock { $0 } ? WriteOutcome.leaseLost : .accepted).orThrow(for: write.grant)
    }

    func prepare(_ pending: Lease.PendingCheckpoint, for grant: LeaseGrant, from: Checkpoint) async throws {
      places.withLock { $0.append("prepare \(pending.checkpoint) from \(from)") }
      try (refuses.withLock { $0 } ? WriteOutcome.leaseLost : .accepted).orThrow(for: grant)
    }
  }

  private let sink = Sink()
  private let losses = Losses()
  private let checkpointer: Checkpointer

  private final class Losses: Sendable {
    let count = Mutex(0)
  }

  init() {
    let grant = LeaseGrant(
      scope: LeaseScope(application: "app"),
      shardID: "a",
      owner: 1,
      epoch: 1
    )
    checkpointer = Checkpointer(grant: grant, committed: .trimHorizon, sink: sink) { [losses] in
      losses.count.withLock { $0 += 1 }
    }
    checkpointer.noteHandedOut(.record(9))
  }

  @Test("each write names the last checkpoint that was accepted")
  func from() async throws {
    try await checkpointer.checkpoint(at: 3)
    try await checkpointer.checkpoint(at: 5)
    _ = try await checkpointer.prepareCheckpoint(state: [])
    #expect(
      sink.places.withLock { $0 } == ["3 from TRIM_HORIZON", "5 from 3", "prepare 9 from 5"]
    )
    #expect(losses.count.withLock { $0 } == 0)
  }

  @Test("a write that is refused ends the consumer, and is not noted")
  func refused() async throws {
    try await checkpointer.checkpoint(at: 3)
    sink.refuses.withLock { $0 = true }
    await #expect(throws: TidemarkError.self) { try await checkpointer.checkpoint() }
    #expect(checkpointer.committed == .record(3))
    #expect(losses.count.withLock { $0 } == 1)
  }
}
