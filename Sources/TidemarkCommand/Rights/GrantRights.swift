import ArgumentParser
import TidemarkStreams

struct GrantRights: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grant",
    abstract: "Give a role what a consumer, an administrator, a capturer or a producer needs.",
    discussion: """
      A consumer reads streams and keeps leases: what a worker is. An administrator creates, enables, alters, \
      splits and disables streams, and reads none; on a table it needs TRIGGER besides, and DELETE for an \
      expiry column. A capturer reads replication slots, for which the role needs REPLICATION, and appends \
      what it decodes. A producer puts records. Who only writes to tables needs no rights here. Only the owner \
      of the schema can grant.
      """
  )

  @Argument(
    help: ArgumentHelp(PostgresRole.allCases.map(\.rawValue).joined(separator: ", "), valueName: "rights")
  )
  var role: PostgresRole

  @Argument(help: ArgumentHelp("The role's name, without quotes.", valueName: "role"))
  var name: String

  @Option(
    help: ArgumentHelp(
      "For a consumer: the only stream to read, with later ones of that name. Default: all, and later ones.",
      valueName: "name"
    )
  )
  var stream: String?

  @OptionGroup var database: DatabaseOptions

  func run() async throws {
    try await database.use(.schema(.streams)) { try await $0.streams.grant(role, to: name, stream: stream) }
    try Terminal.write("The role \(name) has the rights of a\(role == .administrator ? "n" : "") \(role).\n")
  }
}

extension PostgresRole: ExpressibleByArgument {}
