import ArgumentParser
import BenchmarkSupport
import Tidemark
import TidemarkAWS

/// What reading DynamoDB Streams costs the client, beside plain HTTP.
struct DynamoDBBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dynamodb",
    abstract:
      "Changes per CPU second from DynamoDB Streams on loopback: a worker that checkpoints, and plain HTTP."
  )

  @OptionGroup var load: ReadingLoad

  @Option(help: "How often each reads all of them.")
  var rounds = 5

  func run() async throws {
    try await ReadingRounds(
      title: "Changes of DynamoDB with both images",
      load: load,
      rounds: rounds,
      service: .dynamoDB,
      plain: (target: "DynamoDBStreams_20120810.GetRecords", interval: .zero),
      makeSource: {
        try DynamoDBStreamsSource(
          MeasuredStream.dynamoDBARN,
          configuration: $0,
          logger: BenchmarkDatabase.logger
        )
      },
      makeProcessor: { ChangeProcessor(progress: $0) }
    ).run()
  }
}

/// Looks at each record as a processor would that passes images on: at its event, its key and the bytes of its new image.
private struct ChangeProcessor: RecordProcessor {
  let progress: ReadProgress

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    var (modified, bytes, keyBytes) = (0, 0, 0)
    for record in batch {
      guard let change = record.change else { continue }
      modified += change.eventName == .modify ? 1 : 0
      bytes += change.newImage?.bytes.count ?? 0
      keyBytes += record.partitionKey.utf8.count
    }
    precondition(modified == batch.count && bytes > 100 * batch.count && keyBytes > 16 * batch.count)
    try await checkpointer.checkpoint()
    progress.add(batch.count)
  }
}
