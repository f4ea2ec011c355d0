#if AWS
import Synchronization
import Tidemark

/// A clock on which pauses take no time, and which remembers them.
final class ImpatientClock: MonotonicClock {
  private let state = Mutex((now: ContinuousClock.now, pauses: [Duration]()))

  var now: ContinuousClock.Instant { state.withLock { $0.now } }
  var minimumResolution: Duration { .nanoseconds(1) }
  var pauses: [Duration] { state.withLock { $0.pauses } }

  func sleep(until deadline: ContinuousClock.Instant, tolerance: Duration?) async throws {
    try Task.checkCancellation()
    state.withLock {
      $0.pauses.append($0.now.duration(to: deadline))
      $0.now = max($0.now, deadline)
    }
  }

  func advance(by duration: Duration) { state.withLock { $0.now += duration } }
}
#endif
