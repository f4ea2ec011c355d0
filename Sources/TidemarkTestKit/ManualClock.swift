import Synchronization
import Tidemark
import Waiting

/// A clock that stands still until a test or a simulation moves it.
///
/// Sleepers are woken in the order of their deadlines, and those with the same deadline in the order in which
/// they went to sleep.
public final class ManualClock: MonotonicClock {
  public typealias Instant = ContinuousClock.Instant
  public typealias Duration = Swift.Duration

  private struct Sleeper {
    var deadline: Instant
    let end = OneShotSignal()
  }

  private struct State {
    var now: Instant
    /// Ordered by deadline, then in the order in which they came. Some may have been cancelled.
    var sleepers: [Sleeper] = []

    mutating func forgetCancelled() { sleepers.removeAll { $0.end.isOver } }
  }

  /// Where the clock started.
  public let start: Instant
  private let state: Mutex<State>

  public init() {
    // An instant of the continuous clock has no other origin; only differences between instants mean anything.
    start = ContinuousClock.now
    state = Mutex(State(now: start))
  }

  public var now: Instant { state.withLock { $0.now } }
  public var minimumResolution: Swift.Duration { .nanoseconds(1) }

  /// The time that has passed on this clock since it was made.
  public var elapsed: Swift.Duration { start.duration(to: now) }

  /// When the next sleeper is due; `nil` if nobody sleeps.
  public var nextDeadline: Instant? { state.withLock { $0.sleepers.first { !$0.end.isOver }?.deadline } }

  /// How many sleep.
  public var sleeperCount: Int { state.withLock { $0.sleepers.count { !$0.end.isOver } } }

  /// Moves the clock forward and wakes the sleepers that are due.
  public func advance(by duration: Swift.Duration) {
    advance(to: now.advanced(by: duration))
  }

  /// Moves the clock forward and wakes the sleepers that are due. An instant in the past moves nothing.
  public func advance(to instant: Instant) {
    let due = state.withLock { state in
      state.now = max(state.now, instant)
      let count = state.sleepers.prefix { $0.deadline <= state.now }.count
      defer { state.sleepers.removeFirst(count) }
      return Array(state.sleepers.prefix(count))
    }
    for sleeper in due { sleeper.end.fire() }
  }

  /// Moves the clock to the next sleeper's deadline and wakes it.
  ///
  /// - Returns: whether anybody slept.
  @discardableResult
  public func advanceToNextDeadline() -> Bool {
    guard let deadline = nextDeadline else { return false }
    advance(to: deadline)
    return true
  }

  /// Waits until the clock has been moved to `deadline`.
  ///
  /// - Throws: `CancellationError` if the task is cancelled meanwhile.
  public func sleep(until deadline: Instant, tolerance: Swift.Duration?) async throws {
    try Task.checkCancellation()
    let sleeper = Sleeper(deadline: deadline)
    let isDue = state.withLock { state in
      if deadline <= state.now { return true }
      state.forgetCancelled()
      let index = state.sleepers.firstIndex { $0.deadline > deadline } ?? state.sleepers.endIndex
      state.sleepers.insert(sleeper, at: index)
      return false
    }
    if !isDue, await sleeper.end.wait() == nil { throw CancellationError() }
  }
}
