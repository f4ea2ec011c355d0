import ArgumentParser

struct RunSeeds: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "run", abstract: "Run seeds.")

  @Option(help: "How many seeds to run.")
  var seeds: UInt64 = 100
  @Option(help: "The first of them.")
  var first: UInt64 = 1
  @Option(help: "Run this seed alone.")
  var seed: UInt64?
  @Option(help: "For how many simulated minutes faults strike.")
  var minutes = 60
  @Flag(help: "Stop at the first seed that breaks a promise.")
  var failFast = false
  @Flag(help: "Fail also if a mark is never reached.")
  var allMarks = false
  @Flag(help: "Print the history.")
  var trace = false

  func run() throws {
    let range = seed.map { $0..<($0 + 1) } ?? first..<(first + seeds)
    let report = Report(duration: .seconds(60 * minutes))
    report.run(range, isTraced: trace, stopsAtFirstViolation: failFast)
    print(report.text)
    if !report.isGood || (allMarks && !report.missingMarks.isEmpty) { throw ExitCode.failure }
  }
}
