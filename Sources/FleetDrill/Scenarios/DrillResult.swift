/// How a scenario went.
package struct DrillResult: Sendable {
  package var scenario: DrillScenario
  package var measures: [DrillMeasure] = []
  /// What the check of everything that was delivered found wrong, in sentences.
  package var violations: [String] = []
  /// Why nothing was measured; `nil` if something was.
  package var skipped: String?

  /// Whether every limit was kept and nothing was wrong. A scenario that was skipped is no failure.
  package var isGood: Bool { violations.isEmpty && measures.allSatisfy(\.isMet) }
}
