import ArgumentParser

struct ApplicationCommands: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "application",
    abstract: "Remove what is kept for an application.",
    subcommands: [DeleteApplication.self]
  )
}
