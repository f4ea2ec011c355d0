import ArgumentParser
import Tidemark
import TidemarkPostgres

struct EnableStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enable",
    abstract: "Capture the changes of a table from now on.",
    discussion: "Migrates the schema first if it is missing or old."
  )

  @Argument(help: #"The table, as in SQL: orders, shop.orders, "Order"."#)
  var table: String

  @Option(help: ArgumentHelp("What records carry besides the item's keys.", valueName: "type"))
  var viewType = StreamViewType.newAndOldImages

  @Option(help: "The stream's name. Default: the table's, with its schema unless that is public.")
  var name: String?

  @Option(help: ExpiryColumn.help)
  var expiryColumn: String?

  @OptionGroup var settings: StreamSettings
  @OptionGroup var sharding: ShardingOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try await database.use(.migrated) { database in
      try await database.streams.enable(
        table: table,
        name: name,
        viewType: viewType,
        retention: settings.retention.duration,
        shardCount: settings.shards,
        expiryColumn: expiryColumn,
        sharding: sharding.forNewStream
      )
    }
    ExpiryColumn.advise(about: stream)
    try output.show(stream.json, text: stream.report)
  }
}

extension StreamViewType: ExpressibleByArgument {}
