import ArgumentParser
import Tidemark
import TidemarkStreams

struct ListStreams: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List all streams that have records or take new ones, oldest first."
  )

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let streams = try await database.useStreams { try await $0.streams.list() }
    try output.show(
      .object(["streams": .array(streams.map(\.json))]),
      table: Self.table(streams),
      empty: "There are no streams."
    )
  }

  private static func table(_ streams: [PostgresStreamDescription]) -> Table {
    var table = Table([
      ("STREAM", .left), ("STATUS", .left), ("TABLE", .left), ("VIEW TYPE", .left), ("OPEN SHARDS", .right),
      ("RETENTION", .right),
    ])
    for stream in streams {
      table.add([
        stream.fullName, stream.status.rawValue, stream.table ?? "-", stream.viewType?.rawValue ?? "-",
        "\(stream.shards.count(where: \.isOpen))", "\(DurationArgument(stream.retention))",
      ])
    }
    return table
  }
}
