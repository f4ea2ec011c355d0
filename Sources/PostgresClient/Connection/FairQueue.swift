import Synchronization

/// A number of permits that are handed out first come, first served.
///
/// A permit is never free while somebody waits: ``release()`` gives it to the first waiter directly, so nobody
/// can overtake.
final class FairQueue: Sendable {
  private typealias Waiter = CheckedContinuation<Void, any Error>

  private struct State {
    var free: Int
    var waiters: [UInt64: Waiter] = [:]
    /// The ids of those who wait, in order; one that gave up is no longer in `waiters`.
    var order: [UInt64] = []
    var next = 0
    var lastID: UInt64 = 0
    var closedWith: PostgresError?
  }

  private let state: Mutex<State>

  init(permits: Int) {
    state = Mutex(State(free: permits))
  }

  /// Waits for a permit.
  ///
  /// - Parameters:
  ///   - deadline: When to give up with ``PostgresError/Code/timeout``, as told by a timer of `loop`.
  ///   - isShielded: Whether to wait although the task is cancelled.
  nonisolated(nonsending) func acquire(
    until deadline: ContinuousClock.Instant? = nil,
    isShielded: Bool = false,
    loop: EventLoop = .shared
  ) async throws {
    if Task.isCancelled, !isShielded { throw PostgresError.cancelled }
    if try tryAcquire() { return }
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    var timer: UInt64?
    defer { if let timer { loop.cancelTimer(timer) } }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { waiter in
        wait(id, waiter, isShielded: isShielded)
        timer = deadline.map { deadline in
          loop.schedule(at: deadline) { [weak self] in self?.giveUp(id, .acquireTimeout) }
        }
      }
    } onCancel: {
      if isShielded { return }
      giveUp(id, .cancelled)
    }
  }

  func release() {
    state.withLock { state -> Waiter? in
      while state.next < state.order.count {
        let id = state.order[state.next]
        state.next += 1
        if let waiter = state.waiters.removeValue(forKey: id) { return waiter }
      }
      state.order.removeAll()
      state.next = 0
      state.free += 1
      return nil
    }?.resume()
  }

  /// Everybody who waits, and everybody who comes, gets this error.
  func close(_ error: PostgresError) {
    let waiters = state.withLock { state in
      state.closedWith = state.closedWith ?? error
      defer { state.waiters.removeAll() }
      return state.waiters.values.map { $0 }
    }
    for waiter in waiters { waiter.resume(throwing: error) }
  }

  private func tryAcquire() throws -> Bool {
    try state.withLock { state in
      if let error = state.closedWith { throw error }
      guard state.free > 0 else { return false }
      state.free -= 1
      return true
    }
  }

  private func wait(_ id: UInt64, _ waiter: Waiter, isShielded: Bool) {
    let answer: Result<Void, any Error>? = state.withLock { state in
      if let error = state.closedWith { return .failure(error) }
      // Cancelled before it could queue: the handler has run and found nothing to remove.
      if Task.isCancelled, !isShielded { return .failure(PostgresError.cancelled) }
      if state.free > 0 {
        state.free -= 1
        return .success(())
      }
      state.waiters[id] = waiter
      state.order.append(id)
      return nil
    }
    if let answer { waiter.resume(with: answer) }
  }

  private func giveUp(_ id: UInt64, _ error: PostgresError) {
    state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(throwing: error)
  }
}

extension PostgresError {
  static let acquireTimeout = PostgresError(
    .timeout,
    "No connection became free in time. Raise maximumConnections or acquireTimeout, or hold connections shorter."
  )
}
