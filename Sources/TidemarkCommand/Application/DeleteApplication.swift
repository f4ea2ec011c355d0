import ArgumentParser
import Tidemark
import TidemarkPostgres
import TidemarkStreams

struct DeleteApplication: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Delete an application's leases, dead letters and snapshots.",
    discussion: """
      The application's workers must have ended, or with --stream those that read it. When they are started again they begin as the first ones did. \
      Its snapshots are deleted where leases and streams are in the same database.
      """
  )

  @Argument(help: "The application.")
  var application: String

  @Option(help: "Only what it has on this stream, by its full name or its short one.")
  var stream: String?

  @OptionGroup var confirmation: ConfirmationOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try confirmation.checkCanAsk()
    let streams = try await database.use(.schema(.leases)) { database in
      let found = try await database.scopes(application: application, stream: stream)
      let place = stream.map { " on \($0)" } ?? ""
      guard !found.isEmpty else {
        throw CommandFailure(
          "There is nothing of the application \(application)\(place).",
          advice: "See which there are: tidemark leases list"
        )
      }
      try confirmation.confirm(
        "Delete leases, dead letters and snapshots of \(application)\(place): \(found.map(\.stream).joined(separator: ", "))?"
      )
      // Before the snapshots: leases without one would go on without it.
      let streams = try await database.leases.deleteApplication(application, stream: stream)
      if try await database.migrator(of: .streams).currentVersion() > 0 {
        try await database.streams.dropSnapshots(for: application, of: stream)
      }
      return streams
    }
    let names = streams.joined(separator: ", ")
    try output.show(
      .object(["deleted": JSON(streams)]),
      text: "Deleted what \(application.printable) had on \(names.printable).\n"
    )
  }
}
