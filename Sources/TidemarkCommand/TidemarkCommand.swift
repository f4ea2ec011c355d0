import ArgumentParser

@main
struct TidemarkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tidemark",
    abstract: "Consume change streams with a fleet of workers, on PostgreSQL.",
    subcommands: [Demo.self, DrillWorkerCommand.self]
  )
}
