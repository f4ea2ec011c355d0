import ArgumentParser
import TidemarkPostgres
import TidemarkStreams

struct GrantRights: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grant",
    abstract: "Give a role of the database what a consumer, an administrator or another one needs.",
    discussion: """
      A consumer reads streams and keeps leases: what a worker is. A producer puts records. An administrator \
      creates, enables, alters, splits and disables streams, and reads none; for what touches a table, the role \
      must belong to the table's owner. A capturer reads replication slots, for which the role needs \
      REPLICATION, and appends what it decodes. An expirer deletes expired rows, for which it needs SELECT, \
      DELETE and UPDATE of the expiry column on the table. A monitor sees streams, leases, workers and lag, but no \
      records. A role that only writes to tables needs no rights here. Only the owner of the schemas can grant.

      Rights are for the streams and applications of the names that are given, in which * stands for any \
      characters: --stream 'shop.*'. Several grants add up. Leases and streams that are in different databases \
      are granted in each.
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
      "For a consumer or a monitor: the application, or a pattern. Default: all.",
      valueName: "name"
    )
  )
  var application: String?

  @Option(
    help: ArgumentHelp("The stream, or a pattern. Default: all, and later ones.", valueName: "name")
  )
  var stream: String?

  @OptionGroup var database: DatabaseOptions

  func validate() throws {
    if application != nil, leaseRole == nil {
      throw ValidationError("--application is for a consumer or a monitor.")
    }
  }

  private var leaseRole: PostgresLeaseStore.Role? { PostgresLeaseStore.Role(rawValue: role.rawValue) }

  func run() async throws {
    let schemas = try await database.use(.nothing) { database in
      let schemas = try await database.schemas().filter {
        $0.name == TidemarkSchema.streams.name || leaseRole != nil
      }
      for schema in schemas {
        try await database.migrator(of: schema).check()
        if schema.name == TidemarkSchema.streams.name {
          try await database.streams.grant(
            role,
            to: name,
            stream: stream ?? "*",
            application: application ?? "*"
          )
        } else if let leaseRole {
          try await database.leases.grant(
            leaseRole,
            to: name,
            application: application ?? "*",
            stream: stream ?? "*"
          )
        }
      }
      return schemas.map(\.name)
    }
    try Terminal.write(
      "The role \(name) has the rights of a\(role.rawValue.hasPrefix("e") || role == .administrator ? "n" : "") "
        + "\(role) in \(schemas.joined(separator: " and ")).\n"
    )
  }
}

extension PostgresRole: ExpressibleByArgument {}
