import ArgumentParser
import Tidemark
import TidemarkStreams

struct CheckStreams: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Check that what streams were enabled with still holds. Exits with 1 if something does not."
  )

  @Argument(help: "The stream's name; all enabled streams of tables if it is left out.")
  var name: String?

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let conditions = try await database.use(.schema(.streams)) { database in
      try await database.lookAfterCaptures() + database.streams.conditions(of: name)
    }
    try output.show(
      .object(["conditions": .array(conditions.map(\.json))]),
      table: Self.table(conditions),
      empty: "There is nothing to check: no enabled stream of a table."
    )
    if conditions.contains(where: { $0.problem != nil }) { throw ExitCode.failure }
  }

  private static func table(_ conditions: [PostgresStreamCondition]) -> Table {
    var table = Table([("STREAM", .left), ("CONDITION", .left), ("PROBLEM", .left), ("WHAT TO DO", .left)])
    for condition in conditions {
      table.add([condition.stream, condition.name, condition.problem ?? "none", condition.advice ?? "-"])
    }
    return table
  }
}

extension PostgresStreamCondition {
  fileprivate var json: JSON {
    .object([
      "stream": JSON(stream), "condition": JSON(name), "problem": JSON(problem), "advice": JSON(advice),
    ])
  }
}
