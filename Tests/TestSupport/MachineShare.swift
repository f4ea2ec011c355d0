import Testing

/// Bounds how many tests run at once, whoever runs them: hundreds of tests that all start together would starve
/// each other, and those that measure how fast processes react would measure that.
///
/// It also bounds how long a test takes from when it has got its place: so long that a machine with much else to do does
/// not reach it, since it is there for tests that hang. (Testing's `.timeLimit` counts the wait for the place, too.)
package struct MachineShare: TestTrait, SuiteTrait, TestScoping {
  var places: Int
  var limit = Duration.seconds(1200)
  var machine = Machine.shared

  package var isRecursive: Bool { true }

  package func provideScope(
    for test: Test,
    testCase: Test.Case?,
    performing function: @Sendable () async throws -> Void
  ) async throws {
    guard testCase != nil else { return try await function() }
    await machine.take(places)
    do {
      try await withinLimit(test, function)
      await machine.give(places)
    } catch {
      await machine.give(places)
      throw error
    }
  }

  private func withinLimit(_ test: Test, _ function: @Sendable () async throws -> Void) async throws {
    try await withoutActuallyEscaping(function) { function in
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await function() }
        group.addTask {
          do { try await Task.sleep(for: limit) } catch { return }
          // Said at once: what hangs may not end when it is cancelled.
          let message = "It took longer than \(limit), not counting the wait for its turn, and is cancelled."
          Issue.record(Comment(rawValue: message), sourceLocation: test.sourceLocation)
        }
        try await group.next()
        group.cancelAll()
        try await group.waitForAll()
      }
    }
  }
}

extension Trait where Self == MachineShare {
  /// The test runs beside a few others.
  package static var sharesMachine: Self { MachineShare(places: 1) }
  /// The test runs while no other of these does.
  package static var needsMachineAlone: Self { MachineShare(places: Machine.sharedPlaces) }
}

/// The places, given in the order in which they are asked for.
actor Machine {
  static let sharedPlaces = 4
  static let shared = Machine(places: sharedPlaces)

  private var free: Int
  private var waiting: [(places: Int, continuation: CheckedContinuation<Void, Never>)] = []

  init(places: Int) { free = places }

  var waitingCount: Int { waiting.count }

  func take(_ places: Int) async {
    if waiting.isEmpty && free >= places {
      free -= places
      return
    }
    await withCheckedContinuation { waiting.append((places, $0)) }
  }

  func give(_ places: Int) {
    free += places
    while let first = waiting.first, free >= first.places {
      free -= first.places
      waiting.removeFirst().continuation.resume()
    }
  }
}
