import Tidemark

/// Watches over one promise. It sees what the system does at its borders and shares no code with what it judges.
protocol Checker {
  var name: String { get }
  /// What `observation` violates, if anything. The truth is that of before it.
  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String?
  /// What these members have yet to do, if anything.
  func owed(by members: Set<String>) -> String?
}

extension Checker {
  func owed(by members: Set<String>) -> String? { nil }
}

func allCheckers(_ scenario: Scenario) -> [any Checker] {
  [
    EpochChecker(), FencingChecker(), CheckpointChecker(), LineageChecker(scenario), OrderChecker(scenario),
    RetryChecker(scenario), TrustChecker(), DeathChecker(), CapChecker(), ServingChecker(), ReportChecker(),
    LossChecker(), CallChecker(),
  ]
}
