import ArgumentParser
import FleetDrill

/// `tidemark drill`: failover, handoff and balance, measured on a fleet of real processes.
struct DrillCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drill",
    abstract:
      "Measure failover, handoff and balance on a fleet of real processes, and check what was delivered.",
    discussion: """
      The scenarios:

        kill    a worker is killed with SIGKILL
        vanish  a worker's host is cut off the network (needs root and ip of iproute2)
        join    one more worker joins
        drain   a worker leaves on SIGTERM
        start   a whole fleet starts on a stream that nobody has read yet
        stale   a worker is stopped past its failover time with SIGSTOP, and goes on
        all     each of these

      Starts a private PostgreSQL in a temporary directory and stops everything at the end. Workers have their \
      default settings. Exits with 1 if a figure misses its limit or the check finds anything wrong.
      """
  )

  /// What can be named on the command line.
  enum Choice: String, CaseIterable, ExpressibleByArgument {
    case kill, vanish, join, drain, start, stale, all

    var scenarios: [DrillScenario] {
      DrillScenario(rawValue: rawValue).map { [$0] } ?? DrillScenario.allCases
    }
  }

  @Argument(help: "What happens to the fleet.")
  var choices: [Choice]

  @Option(help: "How often it happens.")
  var rounds = 20

  @Option(help: "How many shards the stream has.")
  var shards = 8

  @Option(help: "How many workers there are.")
  var workers = 3

  @Option(help: "Transactions per second that are written to the table.")
  var rate = 200

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...1000).contains(rounds) else { throw ValidationError("--rounds must be within 1 and 1000.") }
    guard (2...20).contains(workers) else { throw ValidationError("--workers must be within 2 and 20.") }
    guard (workers...256).contains(shards) else {
      throw ValidationError("--shards must be within the number of workers and 256: each needs one to lose.")
    }
    guard (1...5000).contains(rate) else { throw ValidationError("--rate must be within 1 and 5000.") }
  }

  func run() async throws {
    var drill = Drill(executable: try ownExecutable())
    drill.rounds = rounds
    drill.shards = shards
    drill.workers = workers
    drill.transactionsPerSecond = rate
    drill.progress = { Terminal.note($0) }
    let scenarios = choices.flatMap(\.scenarios)
    let results = try await endingOnSignals { [drill] in
      var results: [DrillResult] = []
      for scenario in scenarios { results.append(try await drill.run(scenario)) }
      return results
    }
    try output.show(.array(results.map(\.json)), text: results.text)
    if !results.allSatisfy(\.isGood) { throw ExitCode.failure }
  }
}
