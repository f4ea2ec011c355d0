import ArgumentParser
import TidemarkStreams

struct RevokeRights: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Take from a role of the database all rights that it has in the schema tidemark."
  )

  @Argument(help: ArgumentHelp("The role's name, without quotes.", valueName: "role"))
  var name: String

  @OptionGroup var database: DatabaseOptions

  func run() async throws {
    try await database.use(.schema(.streams)) { try await $0.streams.revokeAll(from: name) }
    try Terminal.write("The role \(name) has no rights in the schema tidemark.\n")
  }
}
