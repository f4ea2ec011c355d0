import ArgumentParser

@main
struct TidemarkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tidemark",
    abstract: "Consume change streams with a fleet of workers, on PostgreSQL.",
    discussion: """
      Without --database-url and TIDEMARK_DATABASE_URL, commands use a private PostgreSQL server. It runs \
      while a command does and keeps its data in TIDEMARK_HOME, by default tidemark in XDG_DATA_HOME or \
      ~/.local/share, for root in /var/lib.

      Durations are written as 24h, 90m, 5s or 500ms, times in ISO 8601.

      Exit codes: 0 success; 1 the operation failed; 64 the command was not understood; 69 the database \
      cannot be reached; 128 + n ended by signal n.
      """,
    subcommands: [
      Migrate.self, StreamCommands.self, LeasesCommands.self, WorkersCommands.self, ApplicationCommands.self,
      GrantRights.self, RevokeRights.self, Restore.self, Uninstall.self, Demo.self,
      DrillCommand.self,
      DrillWorkerCommand.self,
    ]
  )

  static func main() async {
    do {
      var command = try parseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      guard let failure = CommandFailure(error) else { exit(withError: error) }
      Terminal.writeToStandardError(failure.report)
      exit(withError: failure.exitCode)
    }
  }
}
