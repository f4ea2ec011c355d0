import Synchronization
import Tidemark

/// A clock that stands still until a test or a simulation moves it.
///
/// Sleepers are woken in the order of their deadlines, and those with the same deadline in the order in which
/// they went to sleep.
public final class ManualClock: MonotonicClock {
  public typealias Instant = ContinuousClock.Instant
  public typealias Duration = Swift.Duration

  private struct Sleeper {
    var id: UInt64
    var deadline: Instant
    var continuation: CheckedContinuation<Void, any Error>
  }

  private struct State {
    var now: Instant
    var nextID: UInt64 = 0
    /// Ordered by deadline, then by id.
    var sleepers: [Sleeper] = []
    /// Sleeps that were cancelled before they got as far as the list.
    var cancelledEarly: Set<UInt64> = []
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
  public var nextDeadline: Instant? { state.withLock { $0.sleepers.first?.deadline } }

  /// How many sleep.
  public var sleeperCount: Int { state.withLock { $0.sleepers.count } }

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
    for sleeper in due { sleeper.continuation.resume() }
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
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let outcome = state.withLock { state -> Result<Void, any Error>? in
          if state.cancelledEarly.remove(id) != nil { return .failure(CancellationError()) }
          if deadline <= state.now { return .success(()) }
          let sleeper = Sleeper(id: id, deadline: deadline, continuation: continuation)
          let index = state.sleepers.firstIndex { $0.deadline > deadline } ?? state.sleepers.endIndex
          state.sleepers.insert(sleeper, at: index)
          return nil
        }
        if let outcome { continuation.resume(with: outcome) }
      }
      state.withLock { _ = $0.cancelledEarly.remove(id) }
    } onCancel: {
      cancel(id)
    }
  }

  private func cancel(_ id: UInt64) {
    let sleeper = state.withLock { state -> Sleeper? in
      guard let index = state.sleepers.firstIndex(where: { $0.id == id }) else {
        state.cancelledEarly.insert(id)
        return nil
      }
      return state.sleepers.remove(at: index)
    }
    sleeper?.continuation.resume(throwing: CancellationError())
  }
}
