import CLibPQ
import Foundation
import Synchronization

/// Cancels what a connection's server process is doing.
///
/// libpq 15 can cancel only by blocking: it opens a second connection for it. So each request gets a thread of
/// its own, and ``end()`` waits for it, or else a late request would hit the next statement.
///
/// `@unchecked Sendable`: `request` is never changed, and libpq documents using it from any thread as safe.
final class StatementCanceller: @unchecked Sendable {
  private enum State {
    case idle
    case running
    /// A request is under way; `isOver` once the statement has ended meanwhile.
    case requesting(isOver: Bool, waiter: CheckedContinuation<Void, Never>?)
    /// A request was made and the statement still runs.
    case requested
  }

  /// A request that reaches the server before the statement does is ignored there, so it is repeated.
  private static let repetition = Duration.milliseconds(250)

  private let request: OpaquePointer?
  private let loop: EventLoop
  private let state = Mutex(State.idle)

  init(_ connection: OpaquePointer, loop: EventLoop) {
    request = PQgetCancel(connection)
    self.loop = loop
  }

  deinit {
    PQfreeCancel(request)
  }

  func begin() {
    state.withLock { $0 = .running }
  }

  /// Asks the server to stop the statement that runs; does nothing when none does. From any thread.
  func cancel() {
    let mustAsk = state.withLock { state in
      switch state {
      case .running, .requested:
        state = .requesting(isOver: false, waiter: nil)
        return true
      case .idle, .requesting:
        return false
      }
    }
    if mustAsk { Thread.detachNewThread { self.ask() } }
  }

  /// Returns once no request is under way. Says whether there was one.
  nonisolated(nonsending) func end() async -> Bool {
    enum Next { case done(Bool), wait }
    let next: Next = state.withLock { state in
      switch state {
      case .idle, .running:
        state = .idle
        return .done(false)
      case .requested:
        state = .idle
        return .done(true)
      case .requesting:
        return .wait
      }
    }
    if case .done(let wasRequested) = next { return wasRequested }
    await withCheckedContinuation { waiter in
      let isDone = state.withLock { state in
        if case .requesting = state {
          state = .requesting(isOver: true, waiter: waiter)
          return false
        }
        state = .idle
        return true
      }
      if isDone { waiter.resume() }
    }
    return true
  }

  /// Forgets the statement: its connection is gone.
  func abandon() {
    let waiter = state.withLock { state in
      defer { state = .idle }
      guard case .requesting(_, let waiter) = state else { return CheckedContinuation<Void, Never>?.none }
      return waiter
    }
    waiter?.resume()
  }

  private func ask() {
    var message: [CChar] = Array(repeating: 0, count: 256)
    // Its failure needs no handling: the statement then runs on and the request is repeated, or the
    // connection is lost, which the statement itself notices.
    _ = PQcancel(request, &message, Int32(message.count))
    let (waiter, isOver) = state.withLock { state -> (CheckedContinuation<Void, Never>?, Bool) in
      guard case .requesting(let isOver, let waiter) = state else { return (nil, true) }
      state = isOver ? .idle : .requested
      return (waiter, isOver)
    }
    waiter?.resume()
    if isOver { return }
    _ = loop.schedule(at: .now + Self.repetition) { [weak self] in self?.repeatIfNeeded() }
  }

  private func repeatIfNeeded() {
    let isNeeded = state.withLock { state in
      if case .requested = state { true } else { false }
    }
    if isNeeded { cancel() }
  }
}
