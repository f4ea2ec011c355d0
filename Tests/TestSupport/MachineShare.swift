import Testing

/// Bounds how many tests run at once, whoever runs them: hundreds of tests that all start together would starve
/// each other, and those that measure how fast processes react would measure that.
public struct MachineShare: TestTrait, SuiteTrait, TestScoping {
  fileprivate var places: Int

  public var isRecursive: Bool { true }

  public func provideScope(
    for test: Test,
    testCase: Test.Case?,
    performing function: @Sendable () async throws -> Void
  ) async throws {
    guard testCase != nil else { return try await function() }
    await Machine.shared.take(places)
    do {
      try await function()
      await Machine.shared.give(places)
    } catch {
      await Machine.shared.give(places)
      throw error
    }
  }
}

extension Trait where Self == MachineShare {
  /// The test runs beside a few others.
  public static var sharesMachine: Self { MachineShare(places: 1) }
  /// The test runs while no other of these does.
  public static var needsMachineAlone: Self { MachineShare(places: Machine.places) }
}

/// The places, given in the order in which they are asked for.
private actor Machine {
  static let places = 4
  static let shared = Machine()

  private var free = places
  private var waiting: [(places: Int, continuation: CheckedContinuation<Void, Never>)] = []

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
