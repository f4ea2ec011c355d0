import ArgumentParser
import Tidemark
import TidemarkPostgres
import TidemarkStreams

struct DropSnapshot: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drop",
    abstract: "Delete an application's snapshot and its leases on the stream.",
    discussion: "The application's workers must have ended. When they are started again they take a new one."
  )

  @Argument(help: "The stream's name.")
  var name: String

  @Option(help: "The application.")
  var application: String

  @OptionGroup var confirmation: ConfirmationOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try confirmation.checkCanAsk()
    let stream = try await database.useStreams { database in
      try confirmation.confirm("Delete the snapshot and all leases of \(application) on \(name)?")
      let stream = try await database.streams.describe(name)
      // Before the snapshot: leases without one would go on without it.
      for name in [stream.name, stream.fullName] {
        try await database.leases.deleteLeases(of: name, in: LeaseScope(application: application))
      }
      try await database.streams.dropSnapshot(of: name, for: application)
      return try await database.streams.describe(name)
    }
    try output.show(stream.json, text: stream.report)
  }
}
