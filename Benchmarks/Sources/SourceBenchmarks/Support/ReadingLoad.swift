import ArgumentParser

/// How much there is to read.
struct ReadingLoad: ParsableArguments {
  @Option(help: "How many shards are read, 1,000 records at a time.")
  var shards = 48

  @Option(help: "How many records a shard has.")
  var recordsPerShard = 40_000

  var records: Int { shards * recordsPerShard }
}
