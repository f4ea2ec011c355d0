import ArgumentParser
import Tidemark
import TidemarkStreams

struct TailStream: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tail",
    abstract: "Print a stream's records, those of a shard after those of its parents.",
    discussion: """
      Goes on until Ctrl-C, until --limit, or until a disabled stream has no more. With --no-follow it ends \
      when it has printed all records that there were. DynamoDB does not say when an open shard has no more: \
      five empty reads in a row count as that.

      With --json each record is an object in a line of its own. Its data are text in "data" if they are \
      UTF-8, else Base64 in "data_base64".
      """
  )

  @Argument(help: ArgumentHelp(StreamLocator.help))
  var name: StreamLocator

  @Option(
    help: ArgumentHelp(
      "Where to begin: \(PositionArgument.forms), which means after that record.",
      valueName: "position"
    )
  )
  var from = PositionArgument(.trimHorizon)

  @Option(help: ArgumentHelp("How many records to print at most.", valueName: "count"))
  var limit: Int?

  @Flag(inversion: .prefixedNo, help: "Wait for new records when all are printed.")
  var follow = true

  @OptionGroup var database: DatabaseOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1.") }
  }

  func run() async throws {
    switch name {
    case .postgres(let name):
      try await database.useStreams { database in
        let stream = PostgresStream(name, pool: database.pool, logger: database.logger)
        try await untilCancelled {
          if !follow { try await stream.sequenceCommitted() }
          try await tail(stream)
        }
      }
    case .dynamoDB(let name):
      // A page of a shard may be empty although there are records after it.
      try await tailUntilSignalled(AmazonStreams.dynamoDB(name, logger: database.logger), emptyPagesAtTip: 5)
    case .kinesis(let name):
      try await tailUntilSignalled(AmazonStreams.kinesis(name, logger: database.logger))
    }
  }

  private func tailUntilSignalled(_ stream: some StreamSource, emptyPagesAtTip: Int = 1) async throws {
    try await endingOnSignals {
      try await untilCancelled { try await tail(stream, emptyPagesAtTip: emptyPagesAtTip) }
    }
  }

  /// Ctrl-C is how this is meant to end.
  private func untilCancelled(_ body: () async throws -> Void) async throws {
    do { try await body() } catch is CancellationError {}
  }

  private func tail(_ stream: some StreamSource, emptyPagesAtTip: Int = 1) async throws {
    let reading = StreamReading(
      stream,
      from: from.checkpoint,
      follow: follow,
      emptyPagesAtTip: emptyPagesAtTip
    )
    var remaining = limit ?? .max
    try await reading.forEachPage { shardID, records in
      let printed = records.prefix(remaining)
      remaining -= printed.count
      let lines = printed.lazy.map { output.json ? $0.json(in: shardID).line : $0.line(in: shardID) }
      // One write for a page of small records, and one for each large one.
      var text = ""
      for line in lines {
        text += line + "\n"
        if text.utf8.count > 1 << 20 {
          try Terminal.write(text)
          text = ""
        }
      }
      try Terminal.write(text)
      return remaining > 0
    }
  }
}
