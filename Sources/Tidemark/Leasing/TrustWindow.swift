import Synchronization
import Waiting

/// Until when a worker may act on its leases without asking anybody: the moment it sent its last successful
/// heartbeat, plus the failover interval, minus a margin.
///
/// Nobody may declare the worker dead for a missing heartbeat before that. Past it the worker hands out no
/// records; if it turns out later that it was not declared dead, it goes on where it was.
final class TrustWindow: Sendable {
  private struct State {
    var end: ContinuousClock.Instant?
    var waiting: [OneShotSignal] = []
  }

  private let clock: any MonotonicClock
  private let state = Mutex(State())

  init(clock: any MonotonicClock) {
    self.clock = clock
  }

  var isOpen: Bool {
    state.withLock { isOpen($0) }
  }

  private func isOpen(_ state: State) -> Bool { state.end.map { clock.now < $0 } ?? false }

  /// Moves the end forward; an answer that comes late does not move it back.
  func extend(to end: ContinuousClock.Instant) {
    let waiting = state.withLock { state in
      state.end = state.end.map { max($0, end) } ?? end
      defer { state.waiting = [] }
      return state.waiting
    }
    for waiter in waiting { waiter.fire() }
  }

  /// Returns once the window is open.
  /// - Throws: `CancellationError`.
  func waitUntilOpen() async throws {
    while !isOpen {
      let opened = OneShotSignal()
      state.withLock { state in
        if isOpen(state) { opened.fire() } else { state.waiting.append(opened) }
      }
      await opened.wait()
      try Task.checkCancellation()
    }
  }
}
