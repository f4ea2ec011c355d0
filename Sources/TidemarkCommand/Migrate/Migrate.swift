import ArgumentParser
import Tidemark
import TidemarkPostgres
import TidemarkStreams

struct Migrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bring the database's schemas up to date.",
    discussion: """
      There are two, tidemark for change streams and tidemark_leases for the leases of applications. A database \
      that has only one of both, because the other is elsewhere or not needed, gets that with --schema. \
      Any number of these may run at once, and while workers run.
      """
  )

  @Option(help: "The only schema to migrate: \(SchemaArgument.allValueStrings.joined(separator: " or ")).")
  var schema: SchemaArgument?

  @Option(
    help: ArgumentHelp(
      "The version to end at instead of the latest; 0 for an empty schema. Going back deletes what the newer "
        + "versions store.",
      valueName: "version"
    )
  )
  var to: Int?

  @Flag(help: "Only show which migrations the database has.")
  var status = false

  @OptionGroup var confirmation: ConfirmationOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if status, to != nil { throw ValidationError("--status changes nothing: leave out --to.") }
    if let to, to > 0, schema == nil {
      throw ValidationError("Say with --schema which one shall have version \(to).")
    }
  }

  private var schemas: [TidemarkSchema] { schema.map { [$0.schema] } ?? Database.schemas }

  func run() async throws {
    let listing = try await database.use(.nothing) { database in
      if !status { try await migrate(schemas.map { database.migrator(of: $0) }) }
      var listing: [(TidemarkSchema, Migrator.Status)] = []
      for schema in schemas {
        listing += try await database.migrator(of: schema).status().map { (schema, $0) }
      }
      return listing
    }
    try output.show(
      .object(["migrations": .array(listing.map { $1.json(in: $0) })]),
      text: Self.table(listing).text
    )
  }

  private func migrate(_ migrators: [Migrator]) async throws {
    var versions: [Int] = []
    for migrator in migrators { versions.append(try await migrator.currentVersion()) }
    if let to, versions.contains(where: { (0..<$0).contains(to) }) {
      try confirmation.checkCanAsk()
      try confirmation.confirm("Go back to version \(to) and delete what the newer ones store?")
    }
    for migrator in migrators { try await migrator.migrate(to: to) }
  }

  private static func table(_ listing: [(TidemarkSchema, Migrator.Status)]) -> Table {
    var table = Table([("SCHEMA", .left), ("VERSION", .right), ("NAME", .left), ("APPLIED", .left)])
    for (schema, migration) in listing {
      table.add([
        schema.name, "\(migration.version)", migration.name, migration.appliedAt?.iso8601 ?? "-",
      ])
    }
    return table
  }
}

enum SchemaArgument: String, ExpressibleByArgument, CaseIterable {
  case leases, streams

  var schema: TidemarkSchema {
    switch self {
    case .leases: .leases
    case .streams: .streams
    }
  }
}

extension Migrator.Status {
  fileprivate func json(in schema: TidemarkSchema) -> JSON {
    .object([
      "schema": JSON(schema.name), "version": JSON(version), "name": JSON(name),
      "applied_at": JSON(appliedAt),
    ])
  }
}
