import Synchronization

/// Something that happens once and that one task can wait for: the one place where a task waits in a way that ends with
/// its cancellation.
///
/// Whatever keeps many that wait keeps one of these for each, and fires them; one that was fired before its task began
/// to wait is not lost.
package final class OneShot<Value: Sendable>: Sendable {
  private enum State {
    case pending
    case awaited(CheckedContinuation<Value?, Never>)
    /// With the value until a task has taken it.
    case over(Value?)
  }

  private let state = Mutex(State.pending)

  package init() {}

  /// Whether it has happened, or the wait was cancelled.
  package var isOver: Bool {
    state.withLock { if case .over = $0 { true } else { false } }
  }

  /// - Returns: `false` if it has happened before, or the wait was cancelled.
  @discardableResult
  package func fire(_ value: Value) -> Bool { end(with: value) }

  private func end(with value: Value?) -> Bool {
    let (isFirst, continuation) = state.withLock { state -> (Bool, CheckedContinuation<Value?, Never>?) in
      switch state {
      case .over: return (false, nil)
      case .pending:
        state = .over(value)
        return (true, nil)
      case .awaited(let continuation):
        state = .over(nil)
        return (true, continuation)
      }
    }
    continuation?.resume(returning: value)
    return isFirst
  }

  /// - Returns: `nil` if the task was cancelled first.
  @discardableResult
  package func wait() async -> Value? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let over = state.withLock { state -> Value?? in
          switch state {
          case .over(let value):
            state = .over(nil)
            return .some(value)
          case .pending where Task.isCancelled:
            state = .over(nil)
            return .some(nil)
          case .pending, .awaited:
            state = .awaited(continuation)
            return nil
          }
        }
        if let over { continuation.resume(returning: over) }
      }
    } onCancel: {
      _ = end(with: nil)
    }
  }
}

package typealias OneShotSignal = OneShot<Void>

extension OneShotSignal {
  @discardableResult
  package func fire() -> Bool { fire(()) }
}
