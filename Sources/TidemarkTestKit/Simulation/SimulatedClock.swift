import Tidemark
import Waiting

/// The clock of one simulated process: virtual time, faster or slower than others' by some parts per million, and
/// shifted when somebody sets it.
package final class SimulatedClock: MonotonicClock, @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  package typealias Instant = ContinuousClock.Instant
  package typealias Duration = Swift.Duration

  /// An instant of the continuous clock has no origin that could be chosen; only differences mean anything.
  private static let origin = ContinuousClock.now

  private let scheduler: SimulatedScheduler
  private let driftPPM: Int
  private var shift = Duration.zero

  /// - Parameter driftPPM: how much faster than virtual time it goes, in parts per million.
  package init(_ scheduler: SimulatedScheduler, driftPPM: Int = 0) {
    self.scheduler = scheduler
    self.driftPPM = driftPPM
  }

  /// The time since the simulation's start, as this clock counts it.
  package var elapsed: Duration {
    scheduler.now + scheduler.now / 1_000_000 * driftPPM + shift
  }

  package var now: Instant { Self.origin + elapsed }
  package var minimumResolution: Duration { .nanoseconds(1) }

  /// Sets the clock forward or back. Tasks that sleep already are woken as if it had not happened.
  package func jump(by duration: Duration) {
    shift += duration
  }

  package func sleep(until deadline: Instant, tolerance: Duration?) async throws {
    try Task.checkCancellation()
    let own = now.duration(to: deadline)
    if own <= .zero { return }
    let end = OneShotSignal()
    scheduler.schedule(after: own * 1_000_000 / (1_000_000 + driftPPM)) { end.fire() }
    if await end.wait() == nil { throw CancellationError() }
  }
}
