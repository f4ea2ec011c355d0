import Tidemark

/// No worker is declared dead that has given no reason for it: an outage, a restart or a promotion of the store is
/// nobody's death.
struct DeathChecker: Checker {
  let name = "death"

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    guard case .workerDied(let incarnation, let call, let isJustified) = observation, !isJustified else {
      return nil
    }
    return "\(call.member) declared incarnation \(incarnation) dead, which gave no reason to it"
  }
}
