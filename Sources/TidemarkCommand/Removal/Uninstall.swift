import ArgumentParser
import Tidemark
import TidemarkPostgres
import TidemarkStreams

struct Uninstall: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Remove everything of Tidemark's from the database. Exits with 1 if something is left.",
    discussion: """
      All streams with their records, triggers, replication slots and publications, all leases and dead letters, and \
      both schemas. Tables are what they were before. The command lists what it has to leave because somebody uses it: run \
      this again to remove that, too.
      """
  )

  @Flag(help: "Remove it even while workers live; they fail then.")
  var force = false

  @OptionGroup var confirmation: ConfirmationOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try confirmation.checkCanAsk()
    let left = try await database.use(.nothing) { database in
      try await checkNobodyWorks(in: database)
      try confirmation.confirm("Remove all streams, leases and dead letters of this database?")
      return try await remove(from: database)
    }
    try output.show(
      .object(["left": .array(left.map(\.json))]),
      table: left.table,
      empty: "Nothing of Tidemark's is left in the database."
    )
    if !left.isEmpty { throw ExitCode.failure }
  }

  private func checkNobodyWorks(in database: Database) async throws {
    guard !force, try await database.migrator(of: .leases).currentVersion() > 0 else { return }
    let workers = try await database.leases.livingWorkers()
    guard workers.isEmpty else {
      throw CommandFailure(
        "Workers are running: \(workers.joined(separator: ", ")).",
        advice: "Stop them first, or let them fail: --force."
      )
    }
  }

  private func remove(from database: Database) async throws -> [DatabaseProblem] {
    var left: [DatabaseProblem] = []
    if try await database.migrator(of: .streams).currentVersion() > 0 {
      left = try await database.streams.dropAll()
      // Its functions are what removes the rest.
      if !left.isEmpty { left.append(.schema(.streams, "it knows what else is left", "Run this again.")) }
    }
    for schema in Database.schemas where left.isEmpty || schema.name != TidemarkSchema.streams.name {
      do {
        try await database.migrator(of: schema).remove()
      } catch let error as TidemarkError {
        left.append(.schema(schema, error.message, error.advice ?? "-"))
      }
    }
    return left
  }
}

extension DatabaseProblem {
  fileprivate static func schema(_ schema: TidemarkSchema, _ problem: String, _ remedy: String) -> Self {
    Self(subject: "schema \(schema.name)", problem: problem, remedy: remedy)
  }
}
