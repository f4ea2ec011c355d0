/// How a scenario went.
public struct DrillResult: Sendable {
  public var scenario: DrillScenario
  public var measures: [DrillMeasure] = []
  /// What the check of everything that was delivered found wrong, in sentences.
  public var violations: [String] = []
  /// Why nothing was measured; `nil` if something was.
  public var skipped: String?

  /// Whether every limit was kept and nothing was wrong. A scenario that was skipped is no failure.
  public var isGood: Bool { violations.isEmpty && measures.allSatisfy(\.isMet) }
}
