import ArgumentParser
import TidemarkStreams

/// What is chosen when a stream begins.
struct StreamSettings: ParsableArguments {
  @Option(help: ArgumentHelp("How many shards to begin with, 1 to 4096.", valueName: "count"))
  var shards = PostgresStreamAdmin.defaultShardCount

  @Option(help: ArgumentHelp("How long records are kept: 24h, 90m, 5s, 500ms.", valueName: "duration"))
  var retention = DurationArgument(PostgresStreamAdmin.defaultRetention)
}
