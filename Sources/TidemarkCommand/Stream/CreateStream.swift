import ArgumentParser
import TidemarkStreams

struct CreateStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create",
    abstract: "Create a stream that takes records by put.",
    discussion: "Migrates the schema first if it is missing or old."
  )

  @Argument(help: "The stream's name.")
  var name: String

  @OptionGroup var settings: StreamSettings
  @OptionGroup var sharding: ShardingOptions
  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try await database.useStreams(.firstUse(of: .streams)) { database in
      try await database.streams.create(
        name,
        retention: settings.retention.duration,
        shardCount: settings.shards,
        sharding: sharding.forNewStream
      )
    }
    stream.adviseAboutEncoding()
    try output.show(stream.json, text: stream.report)
  }
}
