import ArgumentParser
import Tidemark
import TidemarkPostgres

struct Migrate: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bring the database's schema up to date.",
    discussion: "Any number of these may run at once, and while workers run."
  )

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
  }

  func run() async throws {
    let migrations = try await database.use(.any) { database in
      if !status { try await migrate(database.migrator) }
      return try await database.migrator.status()
    }
    try output.show(
      .object(["migrations": .array(migrations.map(\.json))]),
      text: Self.table(migrations).text
    )
  }

  private func migrate(_ migrator: Migrator) async throws {
    let present = try await migrator.status().last { $0.appliedAt != nil }?.version ?? 0
    if let to, (0..<present).contains(to) {
      try confirmation.checkCanAsk()
      try confirmation.confirm(
        "Go back from version \(present) to \(to) and delete what the newer ones store?"
      )
    }
    try await migrator.migrate(to: to)
  }

  private static func table(_ migrations: [Migrator.Status]) -> Table {
    var table = Table([("VERSION", .right), ("NAME", .left), ("APPLIED", .left)])
    for migration in migrations {
      table.add(["\(migration.version)", migration.name, migration.appliedAt?.iso8601 ?? "-"])
    }
    return table
  }
}

extension Migrator.Status {
  fileprivate var json: JSON {
    .object(["version": JSON(version), "name": JSON(name), "applied_at": JSON(appliedAt)])
  }
}
