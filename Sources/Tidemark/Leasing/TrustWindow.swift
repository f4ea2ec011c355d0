import Synchronization

/// Until when a worker may act on its leases without asking anybody: the moment it sent its last successful
/// heartbeat, plus the failover interval, minus a margin.
///
/// Nobody may declare the worker dead for a missing heartbeat before that. Past it the worker hands out no
/// records; if it turns out later that it was not declared dead, it goes on where it was.
final class TrustWindow: Sendable {
  private struct State {
    var end: ContinuousClock.Instant?
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
  }

  private let clock: any MonotonicClock
  private let state = Mutex(State())

  init(clock: any MonotonicClock) {
    self.clock = clock
  }

  var isOpen: Bool {
    state.withLock { $0.end.map { clock.now < $0 } ?? false }
  }

  /// Moves the end forward; an answer that comes late does not move it back.
  func extend(to end: ContinuousClock.Instant) {
    let waiters = state.withLock { state in
      state.end = state.end.map { max($0, end) } ?? end
      defer { state.waiters = [:] }
      return state.waiters
    }
    for (_, waiter) in waiters.sorted(by: { $0.key < $1.key }) { waiter.resume() }
  }

  /// Returns once the window is open.
  /// - Throws: `CancellationError`.
  func waitUntilOpen() async throws {
    while !isOpen {
      let id = state.withLock { state in
        state.nextWaiter += 1
        return state.nextWaiter
      }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let alreadyOver = state.withLock { state in
            if Task.isCancelled || state.end.map({ clock.now < $0 }) ?? false { return true }
            state.waiters[id] = continuation
            return false
          }
          if alreadyOver { continuation.resume() }
        }
      } onCancel: {
        state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
      }
      try Task.checkCancellation()
    }
  }
}
