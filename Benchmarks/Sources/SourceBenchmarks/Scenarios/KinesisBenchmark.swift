import ArgumentParser
import BenchmarkSupport
import Tidemark
import TidemarkAWS

/// What reading Kinesis costs the client, beside plain HTTP.
struct KinesisBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kinesis",
    abstract: "Records per CPU second from a Kinesis on loopback: a worker that checkpoints, and plain HTTP."
  )

  @OptionGroup var load: ReadingLoad

  @Option(help: "How often each reads all of them.")
  var rounds = 5

  func run() async throws {
    try await ReadingRounds(
      title: "Records of Kinesis with \(KinesisService.dataBytes) bytes",
      load: load,
      rounds: rounds,
      service: .kinesis,
      // The quota of a shard is five reads a second, which a worker keeps to.
      plain: (target: "Kinesis_20131202.GetRecords", interval: .milliseconds(200)),
      required: 150_000,
      makeSource: {
        try KinesisSource(
          MeasuredStream.name,
          configuration: $0,
          logger: BenchmarkDatabase.logger
        )
      },
      makeProcessor: { DataProcessor(progress: $0) }
    ).run()
  }
}

/// Looks at each record as a processor would: at its key and at its data.
private struct DataProcessor: RecordProcessor {
  let progress: ReadProgress

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    var (bytes, keyBytes, firsts) = (0, 0, 0)
    for record in batch {
      bytes += record.data?.count ?? 0
      firsts += Int(record.data?.first ?? 0)
      keyBytes += record.partitionKey.utf8.count
    }
    precondition(
      bytes == batch.count * KinesisService.dataBytes && keyBytes == batch.count * 16 && firsts > 0
    )
    try await checkpointer.checkpoint()
    progress.add(batch.count)
  }
}
