import ArgumentParser
import TidemarkStreams

struct AlterStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "alter",
    abstract: "Change a stream's retention, expiry, largest image, or how its shards manage themselves.",
    discussion: "Options that you leave out change nothing. All changes happen or, after an error, none."
  )

  @Argument(help: "The stream's name.")
  var name: String

  @Option(help: ArgumentHelp("How long records are kept, 1s to 8760h.", valueName: "duration"))
  var retention: DurationArgument?

  @Option(help: ExpiryColumn.help)
  var expiryColumn: String?

  @Flag(help: "Let no row expire any more.")
  var noExpiry = false

  @Option(help: ArgumentHelp("The largest image of a row, 1 to 256 MiB.", valueName: "mebibytes"))
  var maxImage: Int?

  @OptionGroup var sharding: ShardingOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if noExpiry, expiryColumn != nil { throw ValidationError("Give either --expiry-column or --no-expiry.") }
  }

  func run() async throws {
    let stream = try await database.useStreams { database in
      try await database.streams.alter(name) { settings in
        if let retention { settings.retention = retention.duration }
        if noExpiry { settings.expiryColumn = nil }
        if let expiryColumn { settings.expiryColumn = expiryColumn }
        if let maxImage { settings.maximumImageSize = maxImage << 20 }
        sharding.apply(to: &settings.sharding)
      }
    }
    ExpiryColumn.advise(about: stream)
    try output.show(stream.json, text: stream.report)
  }
}
