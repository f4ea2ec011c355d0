import ArgumentParser
import Foundation

/// Runs the lease protocol through simulated time, many seeds of it, and judges every step.
@main
struct SimulationCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "Simulation",
    abstract: "Run whole workers in simulated time, with faults, and check every promise at every step.",
    discussion: """
      Each seed draws a fleet, its traffic and its faults, and replays exactly: the same seed gives the same \
      history, and its hash. Build it with optimization: swift run -c release Simulation --seeds 1000
      """
  )

  @Option(help: "How many seeds to run.")
  var seeds: UInt64 = 100
  @Option(help: "The first of them.")
  var first: UInt64 = 1
  @Option(help: "Run this seed alone.")
  var seed: UInt64?
  @Option(help: "For how many simulated minutes faults strike.")
  var minutes = 60
  @Flag(help: "Print the history.")
  var trace = false

  func run() throws {
    let range = seed.map { $0..<($0 + 1) } ?? first..<(first + seeds)
    let report = Report(duration: .seconds(60 * minutes))
    report.run(range, isTraced: trace)
    print(report.text)
    if !report.isGood { throw ExitCode.failure }
  }
}
