import Synchronization
import Tidemark
import Waiting

/// Wakes one waiting task. A ring while nobody waits is kept, and several are one.
final class Alarm: Sendable {
  private enum State {
    case quiet
    case ringing
    case awaited(OneShotSignal)
  }

  private let state = Mutex(State.quiet)

  func ring() {
    state.withLock { state in
      if case .awaited(let ring) = state, ring.fire() { state = .quiet } else { state = .ringing }
    }
  }

  /// Returns at the next ring, or when the task is cancelled. For one task at a time.
  func wait() async {
    let ring = OneShotSignal()
    state.withLock { state in
      if case .ringing = state {
        ring.fire()
        state = .quiet
      } else {
        state = .awaited(ring)
      }
    }
    await ring.wait()
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
