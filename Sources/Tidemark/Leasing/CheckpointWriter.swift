import Logging
import Synchronization

/// Gathers the checkpoints of all of a worker's shards into one statement in flight: while one is under way,
/// what comes in waits for the next. The more shards, the larger the batches, not the more statements.
final class CheckpointWriter: Checkpointer.Sink {
  private struct Entry {
    var checkpoint: Checkpoint
    var from: Checkpoint
    var waiters: [UInt64] = []

    mutating func add(_ write: CheckpointWrite, _ waiter: UInt64) {
      checkpoint = max(checkpoint, write.checkpoint)
      from = max(from, write.from)
      waiters.append(waiter)
    }
  }

  private struct State {
    var pending: [LeaseGrant: Entry] = [:]
    var continuations: [UInt64: CheckedContinuation<WriteOutcome, any Error>] = [:]
    var nextWaiter: UInt64 = 0
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
    let left = state.withLock { state in
      state.isFinished = true
      defer { state.continuations = [:] }
      return state.continuations
    }
    for (_, continuation) in left.sorted(by: { $0.key < $1.key }) {
      continuation.resume(throwing: CancellationError())
    }
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

  private func enqueue(_ write: CheckpointWrite) async throws -> WriteOutcome {
    let id = state.withLock { state in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let accepted = state.withLock { state in
          if state.isFinished || Task.isCancelled { return false }
          state.continuations[id] = continuation
          let entry = Entry(checkpoint: write.checkpoint, from: write.from)
          state.pending[write.grant, default: entry].add(write, id)
          return true
        }
        if accepted { wakeUp.yield() } else { continuation.resume(throwing: CancellationError()) }
      }
    } onCancel: {
      // The write itself may still happen; it is as good as one whose answer was lost.
      state.withLock { $0.continuations.removeValue(forKey: id) }?.resume(throwing: CancellationError())
    }
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
      for ((_, entry), outcome) in zip(batch, outcomes) { resume(entry.waiters, with: .success(outcome)) }
    } catch {
      for (_, entry) in batch { resume(entry.waiters, with: .failure(error)) }
    }
  }

  private func resume(_ waiters: [UInt64], with result: Result<WriteOutcome, any Error>) {
    for id in waiters {
      state.withLock { $0.continuations.removeValue(forKey: id) }?.resume(with: result)
    }
  }
}
