import ArgumentParser

struct WorkersCommands: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workers",
    abstract: "Look at the workers of a fleet.",
    subcommands: [ListWorkers.self]
  )
}
