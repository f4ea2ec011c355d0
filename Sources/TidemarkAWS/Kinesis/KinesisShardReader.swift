import Tidemark

/// A cursor in one shard of a Kinesis stream.
actor KinesisShardReader: ShardReader {
  /// The service's own.
  private static let maximumRecords = 10_000

  private let source: KinesisSource
  private let shardID: String
  let origin: Checkpoint
  private var position: ReadPosition
  private var pace: ReadPace
  /// `nil` once it has expired.
  private var iterator: String?

  private init(_ source: KinesisSource, _ shardID: String, _ position: ReadPosition, _ iterator: String) {
    self.source = source
    self.shardID = shardID
    self.position = position
    self.iterator = iterator
    origin = position.checkpoint
    pace = ReadPace(pollInterval: source.pollInterval)
  }

  static func open(
    _ shardID: String,
    after checkpoint: Checkpoint,
    in source: KinesisSource
  ) async throws -> KinesisShardReader {
    var position = ReadPosition(checkpoint)
    let (iterator, time) = try await iterator(after: checkpoint, of: shardID, in: source)
    position.opened(at: time)
    return KinesisShardReader(source, shardID, position, iterator)
  }

  /// - Returns: a new iterator, and when the service made it, or somewhat earlier.
  private static func iterator(
    after checkpoint: Checkpoint,
    of shardID: String,
    in source: KinesisSource
  ) async throws -> (String, Timestamp) {
    // Taken before the call, because what is opened later sees less.
    let now = source.environment.now()
    let response = try await tellingStreams {
      try await source.client.send(
        "GetShardIterator",
        to: .kinesis,
        ShardIteratorRequest(source.stream, shardID, after: checkpoint)
      )
    }
    let answer: ShardIteratorAnswer = try response.decoded()
    return (answer.ShardIterator, response.date ?? now)
  }

  func nextPage(maximumRecords: Int) async throws -> ShardPage {
    let limit = min(max(1, maximumRecords), Self.maximumRecords)
    do {
      return try await read(limit)
    } catch let error as TidemarkError where error.code == .iteratorExpired {
      iterator = nil
      return try await read(limit)
    }
  }

  private func read(_ limit: Int) async throws -> ShardPage {
    try source.ensureSameStream()
    let clock = source.environment.clock
    let wait = pace.wait(at: clock.now)
    if wait > .zero { try await clock.sleep(for: wait) }
    let iterator = try await currentIterator()
    pace.noteRead(at: clock.now)
    let response = try await Self.tellingStreams {
      try await source.client.send(
        "GetRecords",
        to: .kinesis,
        RecordsRequest(source.stream, iterator, limit: limit)
      )
    }
    let answer = try RecordsAnswer(response, shardID: shardID, hashRange: source.hashRange(of: shardID))
    let page = try await page(of: answer, response)
    pace.noteAnswer(isCaughtUp: answer.millisBehindLatest == 0)
    self.iterator = answer.nextIterator
    return page
  }

  private func currentIterator() async throws -> String {
    if let iterator { return iterator }
    let (opened, time) = try await Self.iterator(after: position.checkpoint, of: shardID, in: source)
    position.opened(at: time)
    iterator = opened
    return opened
  }

  private func page(of answer: RecordsAnswer, _ response: AWSResponse) async throws -> ShardPage {
    let isEnd = answer.nextIterator == nil
    let children = isEnd ? try await children(in: answer, response) : []
    let records = (0..<answer.records.count).map { Record(in: answer.records, at: $0) }
    let new = position.receive(records, isCaughtUp: answer.millisBehindLatest == 0, isEnd: isEnd)
    guard let new else { throw trimmed() }
    return ShardPage(
      records: new.count == records.count ? records : Array(new),
      millisBehindLatest: answer.millisBehindLatest,
      readAt: response.date,
      end: isEnd ? ShardPage.End(children: children) : nil
    )
  }

  /// A shard only ends when others follow. Where the answer does not say which, the listing does.
  private func children(in answer: RecordsAnswer, _ response: AWSResponse) async throws -> [Shard] {
    if !answer.children.isEmpty { return try answer.children.map { try $0.shard(in: response) } }
    return try await source.shards().filter { $0.parentIDs.contains(shardID) }
  }

  private func trimmed() -> TidemarkError {
    TidemarkError(
      .recordsTrimmed,
      "The record \(position.checkpoint) of the shard \(shardID) is older than the stream's retention and gone, "
        + "and so may be others after it.",
      advice: "Go on from TRIM_HORIZON, and give the stream a longer retention or the consumer more time."
    )
  }

  /// A shard may be missing because its stream is.
  private static func tellingStreams(
    isolation: isolated (any Actor)? = #isolation,
    _ body: () async throws -> AWSResponse
  ) async throws -> AWSResponse {
    do { return try await body() } catch var error as TidemarkError where error.code == .shardNotFound {
      let message = (error.underlying as? AWSError)?.message ?? ""
      if message.hasPrefix("Stream ") { error.code = .streamNotFound }
      throw error
    }
  }
}
