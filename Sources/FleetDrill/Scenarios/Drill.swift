import Foundation
import LocalPostgres

/// Plays a scenario over and over, on a private PostgreSQL, with worker processes and steady writes, and measures it.
package struct Drill: Sendable {
  /// The program `tidemark`; see ``DrillFleet``.
  package var executable: String
  package var rounds = 20
  package var shards = 8
  package var workers = 3
  /// Of all writers together; about twice as many changes.
  package var transactionsPerSecond = 200
  /// Gets what happens, a line at a time.
  package var progress: @Sendable (String) -> Void = { _ in }

  package init(executable: String) {
    self.executable = executable
  }

  package func run(_ scenario: DrillScenario) async throws -> DrillResult {
    if let obstacle = scenario.obstacle { return DrillResult(scenario: scenario, skipped: obstacle) }
    return switch scenario {
    case .kill: try await onOneStage(scenario) { try await $0.kill() }
    case .vanish: try await vanish()
    case .join: try await onOneStage(scenario) { try await $0.join() }
    case .drain: try await onOneStage(scenario) { try await $0.drain() }
    case .start: try await coldStart()
    case .stale: try await onOneStage(scenario) { try await $0.stale() }
    }
  }

  private func onOneStage(
    _ scenario: DrillScenario,
    _ play: @escaping @Sendable (DrillStage) async throws -> [DrillMeasure]
  ) async throws -> DrillResult {
    try await withLocalPostgres { server in
      let stage = try await DrillStage.Outcome(self, scenario, database: server.url(), play)
      return DrillResult(scenario: scenario, measures: stage.measures, violations: stage.violations)
    }
  }

  /// Each round has a database of its own: a stream that was read already is not cold.
  private func coldStart() async throws -> DrillResult {
    var result = DrillResult(scenario: .start, measures: [DrillStage.coldStartMeasure])
    try await withLocalPostgres { server in
      for round in 1...rounds {
        try await server.createDatabase("round_\(round)")
        let stage = try await DrillStage.Outcome(
          self,
          .start,
          database: server.url(database: "round_\(round)")
        ) {
          try await $0.coldStart(round: round)
        }
        for sample in stage.measures[0].samples { result.measures[0].add(sample) }
        result.violations += stage.violations
      }
    }
    return result
  }

  private func vanish() async throws -> DrillResult {
    let network = try DrillNetwork()
    defer { network.remove() }
    var configuration = LocalPostgresConfiguration()
    configuration.listensOnTCP = true
    configuration.listenAddress = network.address
    return try await withLocalPostgres(configuration) { server in
      let stage = try await DrillStage.Outcome(self, .vanish, database: server.url()) {
        try await $0.vanish(on: network)
      }
      return DrillResult(scenario: .vanish, measures: stage.measures, violations: stage.violations)
    }
  }
}
