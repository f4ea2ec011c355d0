import Synchronization
import Waiting

/// Asks to be woken after a time; with `nil` not any more.
package typealias WakeUpRequest = @Sendable (Duration?) -> Void

/// Waits for one moment at a time: each wait ends the one before.
final class WakeUpTimer: Sendable {
  private let waiting = Mutex<OneShotSignal?>(nil)

  /// The end of the next wait, which begins with this.
  func next() -> OneShotSignal {
    let signal = OneShotSignal()
    end(replacedBy: signal)
    return signal
  }

  func cancel() { end(replacedBy: nil) }

  private func end(replacedBy next: OneShotSignal?) {
    let last = waiting.withLock { waiting in
      defer { waiting = next }
      return waiting
    }
    last?.fire()
  }

  /// - Returns: whether the moment has come.
  func wait(until instant: ContinuousClock.Instant, on clock: any MonotonicClock, unless ended: OneShotSignal)
    async -> Bool
  {
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        let time = clock.now.duration(to: instant)
        if time <= .zero { return true }
        return (try? await clock.sleep(for: time)) != nil
      }
      group.addTask {
        await ended.wait()
        return false
      }
      defer { group.cancelAll() }
      return await group.next() ?? false
    }
  }
}
