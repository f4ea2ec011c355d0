import Synchronization

/// Something that happens once and that one task can wait for.
package final class OneShotSignal: Sendable {
  private enum State {
    case pending
    case awaited(CheckedContinuation<Void, Never>)
    case over
  }

  private let state = Mutex(State.pending)

  package init() {}

  package func fire() {
    let continuation = state.withLock { state in
      defer { state = .over }
      if case .awaited(let continuation) = state { return continuation as CheckedContinuation? }
      return nil
    }
    continuation?.resume()
  }

  /// Returns once the signal was fired or the task is cancelled.
  package func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if case .over = state { return true }
          if Task.isCancelled { return true }
          state = .awaited(continuation)
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      fire()
    }
  }
}
