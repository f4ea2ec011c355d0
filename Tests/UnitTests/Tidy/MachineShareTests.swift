import Testing

@testable import TestSupport

@Suite("A test's share of the machine")
struct MachineShareTests {
  private let machine = Machine(places: 2)

  private func run(
    places: Int = 1,
    limit: Duration = .seconds(1200),
    _ body: @Sendable () async throws -> Void
  ) async throws {
    let share = MachineShare(places: places, limit: limit, machine: machine)
    try await share.provideScope(
      for: try #require(Test.current),
      testCase: Test.Case.current,
      performing: body
    )
  }

  @Test("a test that takes longer than its limit fails, with the reason, and is cancelled")
  func limit() async throws {
    try await withKnownIssue {
      try await run(limit: .milliseconds(1)) {
        await #expect(throws: CancellationError.self) { try await Task.sleep(for: .seconds(3600)) }
      }
    } matching: {
      $0.comments.contains { $0.rawValue.contains("took longer than") && $0.rawValue.contains("cancelled") }
    }
    // Its place is free again.
    try await run(places: 2) {}
  }

  @Test("the wait for the place does not count")
  func waiting() async throws {
    let limit = Duration.seconds(1)
    await machine.take(2)
    async let waiting: Void = run(limit: limit) {}
    try await eventually("it waits") { await machine.waitingCount == 1 }
    let start = ContinuousClock.now
    try await eventually("longer than its limit") { ContinuousClock.now - start > limit }
    await machine.give(2)
    try await waiting
  }

  @Test(
    "places are given in the order in which they are asked for, so a test that needs them all does not wait for ever"
  )
  func order() async throws {
    let machine = machine
    await machine.take(1)
    try await withThrowingTaskGroup(of: Int.self) { group in
      for (number, places) in [2, 1].enumerated() {
        group.addTask {
          await machine.take(places)
          return number
        }
        try await eventually("it waits") { await machine.waitingCount == number + 1 }
      }
      await machine.give(1)
      #expect(try await group.next() == 0)
      await machine.give(2)
      #expect(try await group.next() == 1)
    }
  }
}
