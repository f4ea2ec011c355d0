import Logging
import Synchronization
import Waiting

/// Gathers the checkpoints of all of a worker's shards into one statement in flight: while one is under way,
/// what comes in waits for the next. The more shards, the larger the batches, not the more statements.
final class CheckpointWriter: Checkpointer.Sink {
  private typealias Answer = OneShot<Result<WriteOutcome, any Error>>

  private struct Entry {
    var checkpoint: Checkpoint
    var from: Checkpoint
    var waiting: [Answer] = []

    mutating func add(_ write: CheckpointWrite, _ answer: Answer) {
      checkpoint = max(checkpoint, write.checkpoint)
      from = max(from, write.from)
      waiting.append(answer)
    }
  }

  private struct State {
    var pending: [LeaseGrant: Entry] = [:]
    var isFinished = false
  }

  private let store: any LeaseStore
  private let retry: StoreRetry
  private let state = Mutex(State())
  private let wakeUps: AsyncStream<Void>
  private let wakeUp: AsyncStream<Void>.Continuation

  init(store: any LeaseStore, retry: StoreRetry) {
    self.store = store
    self.retry = retry
    (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Writes until the task is cancelled; what waits then fails.
  func run() async {
    for await _ in wakeUps {
      while let batch = takePending() { await write(batch) }
    }
    state.withLock { $0.isFinished = true }
    for (_, entry) in takePending() ?? [] { answer(entry, .failure(CancellationError())) }
  }

  func write(_ write: CheckpointWrite) async throws {
    let outcome = try await enqueue(write)
    try outcome.orThrow(for: write.grant)
  }

  func prepare(
    _ pending: Lease.PendingCheckpoint,
    for grant: LeaseGrant,
    from: Checkpoint
  ) async throws {
    try await retry.untilAnswered("prepare a checkpoint") {
      try await self.store.prepareCheckpoint(pending, for: grant, from: from)
    }
    .orThrow(for: grant)
  }

  /// - Throws: `CancellationError`. The write itself may still happen; it is as good as one whose answer was lost.
  private func enqueue(_ write: CheckpointWrite) async throws -> WriteOutcome {
    try Task.checkCancellation()
    let answer = Answer()
    let isAccepted = state.withLock { state in
      if state.isFinished { return false }
      let entry = Entry(checkpoint: write.checkpoint, from: write.from)
      state.pending[write.grant, default: entry].add(write, answer)
      return true
    }
    guard isAccepted else { throw CancellationError() }
    wakeUp.yield()
    guard let result = await answer.wait() else { throw CancellationError() }
    return try result.get()
  }

  /// In the order of the leases: what happens must not depend on how a dictionary is laid out.
  private func takePending() -> [(LeaseGrant, Entry)]? {
    state.withLock { state in
      defer { state.pending = [:] }
      return state.pending.isEmpty ? nil : state.pending.sorted { $0.key.key < $1.key.key }
    }
  }

  private func write(_ batch: [(LeaseGrant, Entry)]) async {
    let writes = batch.map { CheckpointWrite(grant: $0, checkpoint: $1.checkpoint, from: $1.from) }
    do {
      // Repeating is harmless, so an unknown outcome is resolved by writing again.
      let outcomes = try await retry.untilAnswered("checkpoint") { try await self.store.checkpoint(writes) }
      for ((_, entry), outcome) in zip(batch, outcomes) { answer(entry, .success(outcome)) }
    } catch {
      for (_, entry) in batch { answer(entry, .failure(error)) }
    }
  }

  private func answer(_ entry: Entry, _ result: Result<WriteOutcome, any Error>) {
    for waiter in entry.waiting { waiter.fire(result) }
  }
}
