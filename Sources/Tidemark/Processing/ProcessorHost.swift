import Synchronization
import Waiting

/// Holds the processor of one shard and makes the calls to it, each of which can be cancelled by itself.
///
/// `@unchecked Sendable`: the processor need not be `Sendable`, because ``ShardConsumer`` has at most one call
/// under way, and the next begins only after the answer to the last one was received.
final class ProcessorHost: @unchecked Sendable {
  private var processor: any RecordProcessor
  private let inFlight = Mutex<OneShotSignal?>(nil)

  init(_ processor: sending any RecordProcessor) {
    self.processor = processor
  }

  /// Makes a call.
  /// - Returns: what it threw, if it did.
  func call(
    _ body: @escaping @Sendable (inout any RecordProcessor) async throws -> Void
  ) async -> (any Error)? {
    let cancelled = OneShotSignal()
    inFlight.withLock { $0 = cancelled }
    defer { inFlight.withLock { $0 = nil } }
    return await withTaskGroup(of: Result<Void, any Error>?.self) { group in
      group.addTask {
        do {
          return .success(try await body(&self.processor))
        } catch {
          return .failure(error)
        }
      }
      group.addTask {
        await cancelled.wait()
        return nil
      }
      var failure: (any Error)?
      // Whichever comes first ends the other: the call ends the wait, the signal cancels the call.
      for await result in group {
        group.cancelAll()
        if case .failure(let error) = result { failure = error }
      }
      return failure
    }
  }

  /// Cancels the task of the call that is under way, if one is.
  func cancelCall() {
    inFlight.withLock { $0 }?.fire()
  }
}
