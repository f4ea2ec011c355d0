import ArgumentParser
import Tidemark
import TidemarkStreams

struct EnableStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enable",
    abstract: "Capture the changes of a table from now on.",
    discussion: """
      Migrates the schema first if it is missing or old. With --capture logical it waits until all transactions \
      of the server that have written have ended, and says for which. Ctrl-C leaves nothing behind.
      """
  )

  @Argument(help: #"The table, as in SQL: orders, shop.orders, "Order"."#)
  var table: String

  @Option(help: ArgumentHelp("What records carry besides the item's keys.", valueName: "type"))
  var viewType = StreamViewType.newAndOldImages

  @Option(help: "The stream's name. Default: the table's, with its schema unless that is public.")
  var name: String?

  @Option(help: ExpiryColumn.help)
  var expiryColumn: String?

  @Option(
    help: ArgumentHelp(
      "How changes are captured. Logical decoding needs wal_level = logical and a role with REPLICATION.",
      valueName: "way"
    )
  )
  var capture = CaptureArgument.trigger

  @Option(
    help: ArgumentHelp(
      """
      For logical: the most write-ahead log that the replication slot may retain, in MiB. A worker or a tidemark \
      stream command that sees more ends the stream; while none runs, the server's max_slot_wal_keep_size holds.
      """,
      valueName: "mebibytes"
    )
  )
  var maxSlotLag = PostgresStreamAdmin.defaultMaximumSlotLag >> 20

  @Option(
    help: ArgumentHelp(
      "The largest image of a row, as JSON, 1 to 256 MiB. Larger ones are left out, and records say so.",
      valueName: "mebibytes"
    )
  )
  var maxImage = PostgresStreamAdmin.defaultMaximumImageSize >> 20

  @OptionGroup var settings: StreamSettings
  @OptionGroup var sharding: ShardingOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try await database.useStreams(.firstUse(of: .streams)) { database in
      try await database.streams.enable(
        table: table,
        name: name,
        viewType: viewType,
        capture: capture.capture,
        maximumSlotLag: maxSlotLag << 20,
        retention: settings.retention.duration,
        shardCount: settings.shards,
        expiryColumn: expiryColumn,
        maximumImageSize: maxImage << 20,
        sharding: sharding.forNewStream
      )
    }
    ExpiryColumn.advise(about: stream)
    stream.adviseAboutEncoding()
    try output.show(stream.json, text: stream.report)
  }
}

extension StreamViewType: ExpressibleByArgument {}

/// How the command line names the ways to capture.
enum CaptureArgument: String, ExpressibleByArgument, CaseIterable {
  case trigger
  case logical

  var capture: StreamCapture { self == .trigger ? .trigger : .logical }
}
