import ArgumentParser
import TidemarkStreams

struct DropStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drop",
    abstract: "Remove a stream for good, with all records that it holds.",
    discussion: """
      Triggers, functions, replication slot and publication go with it, and the table's REPLICA IDENTITY is what it \
      was. The leases of applications on it stay: tidemark application delete.
      """
  )

  @Argument(help: "The stream's name.")
  var name: String

  @OptionGroup var confirmation: ConfirmationOptions
  @OptionGroup var database: DatabaseOptions

  func run() async throws {
    try confirmation.checkCanAsk()
    let fullName = try await database.use(.schema(.streams)) { database in
      let stream = try await database.streams.describe(name)
      try confirmation.confirm("Drop the stream \(stream.fullName) and all that it holds?")
      try await database.streams.drop(stream.fullName)
      return stream.fullName
    }
    try Terminal.write("The stream \(fullName.printable) is gone.\n")
  }
}
