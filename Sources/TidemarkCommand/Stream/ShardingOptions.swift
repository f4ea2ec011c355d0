import ArgumentParser
import TidemarkStreams

/// How a stream's shards manage themselves. What is left out stays as it is.
struct ShardingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The age at which a shard is replaced by a child of the same range, or never. Default: 4h.",
      valueName: "duration"
    )
  )
  var rotateAfter: UnlessNever<DurationArgument>?

  @Option(
    help: ArgumentHelp(
      "Split a shard that gets at least this much, or never. Default: 1000/s.",
      valueName: "rate"
    )
  )
  var splitAbove: UnlessNever<RateArgument>?

  @Option(
    help: ArgumentHelp(
      "Merge neighbours that both get at most this, or never; at most a quarter of --split-above. Default: 10/s.",
      valueName: "rate"
    )
  )
  var mergeBelow: UnlessNever<RateArgument>?

  @Option(
    help: ArgumentHelp(
      "How long a rate must last for a split; a merge takes ten times as long. 1s to 1h. Default: 30s.",
      valueName: "duration"
    )
  )
  var sustainedTime: DurationArgument?

  @Option(
    help: ArgumentHelp(
      "Keep at least so many open shards. Default: what the stream began with.",
      valueName: "count"
    )
  )
  var minimumShards: Int?

  @Option(
    help: ArgumentHelp("Have at most so many open shards, up to 4096. Default: 256.", valueName: "count")
  )
  var maximumShards: Int?

  func apply(to sharding: inout PostgresStreamSettings.Sharding) {
    if let rotateAfter { sharding.rotateAfter = rotateAfter.value?.duration }
    if let splitAbove { sharding.splitAbove = splitAbove.value?.recordsPerSecond }
    if let mergeBelow { sharding.mergeBelow = mergeBelow.value?.recordsPerSecond }
    if let sustainedTime { sharding.sustainedTime = sustainedTime.duration }
    if let minimumShards { sharding.minimumShards = minimumShards }
    if let maximumShards { sharding.maximumShards = maximumShards }
  }

  /// The settings of a new stream.
  var forNewStream: PostgresStreamSettings.Sharding {
    var sharding = PostgresStreamSettings.Sharding()
    apply(to: &sharding)
    return sharding
  }
}
