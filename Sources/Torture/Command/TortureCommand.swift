import ArgumentParser

/// Random writers against random faults on real servers and processes, judged by the table's own journal.
@main
struct TortureCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "Torture",
    abstract:
      "Drive random writers against random faults, and compare what is delivered with what was committed.",
    discussion: """
      A round has a PostgreSQL and a fleet of its own. The seed decides what the torture does and when; what the \
      system makes of it is a matter of timing, so a seed that fails may have to be run more than once. \
      Build it with optimization: swift run -c release Torture --minutes 30
      """,
    subcommands: [RunRounds.self, WorkerCommand.self],
    defaultSubcommand: RunRounds.self
  )
}
