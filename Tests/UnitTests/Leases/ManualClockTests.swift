import Testing
import TidemarkTestKit

@Suite("The manual clock")
struct ManualClockTests {
  private let clock = ManualClock()

  /// Sleeps once somebody else does, so that the order of going to sleep is known.
  private func waitForSleepers(_ count: Int) async {
    while clock.sleeperCount < count { await Task.yield() }
  }

  @Test("the clock stands still until it is moved")
  func standsStill() {
    let before = clock.now
    #expect(clock.now == before)
    clock.advance(by: .seconds(2))
    #expect(before.duration(to: clock.now) == .seconds(2))
    #expect(clock.elapsed == .seconds(2))
  }

  @Test("the clock does not go back")
  func doesNotGoBack() {
    clock.advance(by: .seconds(5))
    clock.advance(to: clock.start)
    #expect(clock.elapsed == .seconds(5))
  }

  @Test("the clock wakes the sleepers that are due, and no others")
  func wakesWhoIsDue() async throws {
    try await withThrowingTaskGroup(of: Int.self) { group in
      for seconds in [3, 1, 2] {
        group.addTask {
          try await clock.sleep(for: .seconds(seconds))
          return seconds
        }
      }
      await waitForSleepers(3)
      clock.advance(by: .seconds(1))
      let first = try await group.next()
      #expect(first == 1)
      #expect(clock.sleeperCount == 2)
      #expect(clock.nextDeadline == clock.start.advanced(by: .seconds(2)))
      #expect(clock.advanceToNextDeadline())
      let second = try await group.next()
      #expect(second == 2)
      #expect(clock.advanceToNextDeadline())
      let third = try await group.next()
      #expect(third == 3)
      #expect(!clock.advanceToNextDeadline())
      #expect(clock.elapsed == .seconds(3))
    }
  }

  @Test("the clock does not sleep until a moment that has passed")
  func passedMoment() async throws {
    try await clock.sleep(until: clock.start, tolerance: nil)
    #expect(clock.sleeperCount == 0)
  }

  @Test("the clock lets a cancelled sleeper go with an error")
  func cancellation() async throws {
    await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await clock.sleep(for: .seconds(1)) }
      await waitForSleepers(1)
      group.cancelAll()
      await #expect(throws: CancellationError.self) { try await group.next() }
      #expect(clock.sleeperCount == 0)
      // The task that is cancelled before it sleeps, too.
      group.addTask { try await clock.sleep(for: .seconds(1)) }
      await #expect(throws: CancellationError.self) { try await group.next() }
    }
  }
}
