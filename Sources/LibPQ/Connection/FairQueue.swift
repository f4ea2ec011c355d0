import Synchronization

/// A number of permits that are handed out first come, first served.
///
/// A permit is never free while somebody waits: ``release()`` gives it to the first waiter directly, so nobody
/// can overtake.
final class FairQueue: Sendable {
  private typealias Continuation = CheckedContinuation<Void, any Error>

  private struct Waiter {
    var id: UInt64
    var continuation: Continuation
  }

  private struct State {
    var free: Int
    var waiters: [Waiter] = []
    var lastID: UInt64 = 0
    var closedWith: PQError?
  }

  private let state: Mutex<State>

  init(permits: Int) {
    state = Mutex(State(free: permits))
  }

  /// Waits for a permit.
  ///
  /// - Parameters:
  ///   - deadline: When to give up with ``PQError/Code/timeout``, when a timer of `loop` fires.
  ///   - isShielded: Whether to wait although the task is cancelled.
  nonisolated(nonsending) func acquire(
    until deadline: ContinuousClock.Instant? = nil,
    isShielded: Bool = false,
    loop: EventLoop = .shared
  ) async throws {
    if Task.isCancelled, !isShielded { throw PQError.cancelled }
    if try tryAcquire() { return }
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    var timer: UInt64?
    defer { if let timer { loop.cancelTimer(timer) } }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        wait(Waiter(id: id, continuation: continuation), isShielded: isShielded)
        // Only now: a timer that fires before its waiter is in the queue would be lost.
        timer = deadline.map { deadline in
          loop.schedule(at: deadline) { [weak self] in self?.giveUp(id, .acquireTimeout) }
        }
      }
    } onCancel: {
      if !isShielded { giveUp(id, .cancelled) }
    }
  }

  func release() {
    state.withLock { state -> Continuation? in
      if !state.waiters.isEmpty { return state.waiters.removeFirst().continuation }
      state.free += 1
      return nil
    }?.resume()
  }

  /// Everybody who waits, and everybody who comes, gets this error.
  func close(_ error: PQError) {
    let waiters = state.withLock { state in
      state.closedWith = state.closedWith ?? error
      defer { state.waiters.removeAll() }
      return state.waiters
    }
    for waiter in waiters { waiter.continuation.resume(throwing: error) }
  }

  /// How many wait.
  var waiting: Int { state.withLock { $0.waiters.count } }

  private func tryAcquire() throws -> Bool {
    try state.withLock { state in
      if let error = state.closedWith { throw error }
      guard state.free > 0 else { return false }
      state.free -= 1
      return true
    }
  }

  private func wait(_ waiter: Waiter, isShielded: Bool) {
    let answer: Result<Void, any Error>? = state.withLock { state in
      if let error = state.closedWith { return .failure(error) }
      // Cancelled before it could queue: the handler has run and found nothing to remove.
      if Task.isCancelled, !isShielded { return .failure(PQError.cancelled) }
      if state.free > 0 {
        state.free -= 1
        return .success(())
      }
      state.waiters.append(waiter)
      return nil
    }
    if let answer { waiter.continuation.resume(with: answer) }
  }

  private func giveUp(_ id: UInt64, _ error: PQError) {
    let waiter = state.withLock { state in
      state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
    }
    waiter?.continuation.resume(throwing: error)
  }
}

extension PQError {
  fileprivate static let acquireTimeout = PQError(
    .timeout,
    "No connection became free in time. Raise maximumConnections or acquireTimeout, or hold connections shorter."
  )
}
