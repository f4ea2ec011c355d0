import Tidemark

/// No plan gives a worker a lease of a stream that it does not serve.
struct ServingChecker: Checker {
  let name = "serving"

  mutating func check(_ observation: Observation, _ truth: StreamTruth) -> String? {
    guard case .decided(let member, let steps, let serving) = observation,
      let step = steps.first(where: { serving[$0.target]?.contains($0.key.stream) != true })
    else { return nil }
    return "\(member) gives \(step.key) to incarnation \(step.target), which does not serve that stream"
  }
}
