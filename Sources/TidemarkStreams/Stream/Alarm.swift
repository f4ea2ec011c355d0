import Synchronization
import Tidemark

/// Wakes one waiting task. A ring while nobody waits is kept, and several are one.
final class Alarm: Sendable {
  private struct State {
    var isRinging = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  func ring() {
    let waiter = state.withLock { state in
      if state.waiter == nil { state.isRinging = true }
      return state.waiter.take()
    }
    waiter?.resume()
  }

  /// Returns at the next ring, or when the task is cancelled. For one task at a time.
  func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          // The cancellation handler may have run already and found nobody.
          if state.isRinging || Task.isCancelled {
            state.isRinging = false
            return true
          }
          state.waiter = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiter.take() }?.resume()
    }
  }
}

/// Waits for `event` until it returns, `limit` has passed, or the task is cancelled.
func waiting(
  atMost limit: Duration,
  on clock: any MonotonicClock,
  for event: @Sendable @escaping () async -> Void
) async {
  await withTaskGroup(of: Void.self) { group in
    group.addTask { await event() }
    group.addTask { try? await clock.sleep(for: limit) }
    await group.next()
    group.cancelAll()
  }
}
