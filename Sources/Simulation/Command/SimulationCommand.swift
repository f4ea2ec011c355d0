import ArgumentParser

/// Runs the lease protocol through simulated time, many seeds of it, and judges every step.
@main
struct SimulationCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "Simulation",
    abstract: "Run whole workers in simulated time, with faults, and check every promise at every step.",
    discussion: """
      Each seed draws a fleet, its traffic and its faults, and replays exactly: the same seed gives the same \
      history. Build it with optimization: swift run -c release Simulation --seeds 1000
      """,
    subcommands: [RunSeeds.self, RunMutants.self],
    defaultSubcommand: RunSeeds.self
  )
}
