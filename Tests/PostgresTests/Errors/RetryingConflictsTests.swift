import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkTestKit

@Suite("Transactions that are in each other's way")
struct RetryingConflictsTests {
  /// What comes of calls that fail so often, and how many there were.
  private func run(
    failures: Int,
    with error: PQError,
    clock: ManualClock
  ) async -> (result: Result<Int, any Error>, calls: Int) {
    await withTaskGroup(of: Void.self) { group in
      // Nobody else moves the clock.
      group.addTask {
        while !Task.isCancelled {
          clock.advanceToNextDeadline()
          await Task.yield()
        }
      }
      defer { group.cancelAll() }
      var calls = 0
      do {
        let calls = try await retryingConflicts(clock: clock) {
          calls += 1
          if calls <= failures { throw error }
          return calls
        }
        return (.success(calls), calls)
      } catch {
        return (.failure(error), calls)
      }
    }
  }

  @Test("are repeated after a pause, a few times", arguments: ["40001", "40P01"])
  func conflicts(_ sqlState: String) async throws {
    let conflict = PQError(.server, "in the way", sqlState: sqlState)
    let clock = ManualClock()
    let mended = await run(failures: 4, with: conflict, clock: clock)
    #expect(try mended.result.get() == 5)
    #expect(clock.elapsed > .zero && clock.elapsed < .milliseconds(200))
    let lasting = await run(failures: .max, with: conflict, clock: clock)
    #expect(lasting.calls == 5)
    #expect(throws: PQError.self) { try lasting.result.get() }
  }

  @Test("are the only ones that are repeated")
  func others() async {
    let clock = ManualClock()
    for error in [
      PQError(.server, "no", sqlState: "23505"), PQError(.connectionLost, "gone"),
    ] {
      #expect(await run(failures: .max, with: error, clock: clock).calls == 1)
    }
    #expect(clock.elapsed == .zero)
  }
}
