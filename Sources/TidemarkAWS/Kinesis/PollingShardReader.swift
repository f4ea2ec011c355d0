#if AWS
import AWSRequests
import Tidemark

/// A cursor in one shard of a Kinesis stream that is polled.
actor PollingShardReader: ShardReader {
  /// The service's own.
  private static let maximumRecords = 10_000

  private let source: KinesisSource
  private let shardID: String
  let origin: Checkpoint
  private var position: ReadPosition
  private var pace: ReadPace
  /// `nil` once it has expired.
  private var iterator: String?

  private init(
    _ source: KinesisSource,
    _ shardID: String,
    _ position: ReadPosition,
    _ iterator: String,
    every interval: Duration
  ) {
    self.source = source
    self.shardID = shardID
    self.position = position
    self.iterator = iterator
    origin = position.checkpoint
    pace = ReadPace(pollInterval: interval)
  }

  static func open(
    _ shardID: String,
    after checkpoint: Checkpoint,
    every interval: Duration,
    in source: KinesisSource
  ) async throws -> PollingShardReader {
    var position = ReadPosition(checkpoint)
    let (iterator, time) = try await iterator(after: checkpoint, of: shardID, in: source)
    position.opened(at: time)
    return PollingShardReader(source, shardID, position, iterator, every: interval)
  }

  /// - Returns: a new iterator, and when the service made it, or somewhat earlier.
  private static func iterator(
    after checkpoint: Checkpoint,
    of shardID: String,
    in source: KinesisSource
  ) async throws -> (String, Timestamp) {
    // Taken before the call, because what is opened later sees less.
    let now = source.environment.now()
    let response = try await KinesisSource.tellingStreams {
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
    let response = try await KinesisSource.tellingStreams {
      try await source.client.send(
        "GetRecords",
        to: .kinesis,
        RecordsRequest(source.stream, iterator, limit: limit)
      )
    }
    let answer = try RecordsAnswer(response, shardID: shardID, hashKeys: source.hashKeys(of: shardID))
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
    let children = isEnd ? try await source.children(of: shardID, in: answer, response) : []
    let records = (0..<answer.records.count).map { Record(in: answer.records, at: $0) }
    let new = position.receive(
      records,
      of: answer.records.span,
      isCaughtUp: answer.millisBehindLatest == 0,
      isEnd: isEnd
    )
    guard let new else { throw KinesisSource.trimmed(at: position.checkpoint, of: shardID) }
    source.tell(answer.records.foreign, of: shardID)
    return ShardPage(
      records: new.count == records.count ? records : Array(new),
      millisBehindLatest: answer.millisBehindLatest,
      readAt: response.date,
      end: isEnd ? ShardPage.End(children: children) : nil
    )
  }
}
#endif
