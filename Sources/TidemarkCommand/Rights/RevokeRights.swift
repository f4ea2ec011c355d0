import ArgumentParser
import TidemarkPostgres
import TidemarkStreams

struct RevokeRights: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Take from a role of the database all rights to streams and leases."
  )

  @Argument(help: ArgumentHelp("The role's name, without quotes.", valueName: "role"))
  var name: String

  @OptionGroup var database: DatabaseOptions

  func run() async throws {
    let schemas = try await database.use(.nothing) { database in
      let schemas = try await database.schemas()
      for schema in schemas {
        try await database.migrator(of: schema).check()
        if schema.name == TidemarkSchema.streams.name {
          try await database.streams.revokeAll(from: name)
        } else {
          try await database.leases.revokeAll(from: name)
        }
      }
      return schemas.map(\.name)
    }
    try Terminal.write("The role \(name) has no rights in \(schemas.joined(separator: " and ")).\n")
  }
}
