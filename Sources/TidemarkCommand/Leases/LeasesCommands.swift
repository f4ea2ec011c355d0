import ArgumentParser

struct LeasesCommands: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "leases",
    abstract: "Look at leases and reset them.",
    subcommands: [ListLeases.self, ResetLeases.self]
  )
}
