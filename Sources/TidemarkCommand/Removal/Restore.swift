import ArgumentParser
import TidemarkPostgres

struct Restore: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a copy of a database ready. Exits with 1 if something is left for you to do.",
    discussion: """
      For a database that was restored from a dump or a backup, or made from a template, before workers run on it and \
      rows are written. Numbers go on after all that may have been given out elsewhere, and what rests on the other \
      database's sessions, transactions and replication slots is forgotten or ended. The command lists what is missing, \
      with what to do.
      """
  )

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let problems = try await database.use(.nothing) { database in
      var problems: [DatabaseProblem] = []
      for schema in Database.schemas {
        problems += try await database.migrator(of: schema).afterRestore()
      }
      return problems
    }
    try output.show(
      .object(["problems": .array(problems.map(\.json))]),
      table: problems.table,
      empty: "The database is ready, and nothing is missing."
    )
    if !problems.isEmpty { throw ExitCode.failure }
  }
}
