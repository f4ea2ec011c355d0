#if AWS
import AWSRequests
import Logging
import Synchronization
import Tidemark

/// A stream of Amazon Kinesis Data Streams, polled, or with enhanced fan-out.
///
/// A shard may be polled five times a second by all its readers together; this one keeps to that by itself, so that a
/// second application that polls the same stream slows both down.
/// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
///
/// Kinesis does not say when records that a reader asks for are gone: it moves on to the oldest that it has. A reader here
/// asks for the record of its checkpoint once more and reports ``TidemarkError/Code/recordsTrimmed`` if another one comes
/// first. Whether there were records in between, nobody can tell then: a shard that got none for longer than the stream's
/// retention is reported too, if it has a backlog when the reader opens.
public final class KinesisSource: StreamSource {
  private enum ReaderKind {
    case polling(Duration)
    case fanOut(FanOutConsumer)
  }

  private struct ForeignPlace: Hashable {
    var shardID: String
    var fate: ForeignRecords.Fate
  }

  let stream: StreamReference
  let client: AWSClient
  let environment: AWSEnvironment
  private let readerKind: ReaderKind
  private let logger: Logger
  private let identity = Mutex(StreamIdentity())
  /// As of the last listing. Of a shard that is not there, what a producer packed before it heard of a split is delivered,
  /// as it is in the shard where it belongs.
  private let listed = Mutex<[String: Shard]>([:])
  private let foreignTallies = Mutex<[ForeignPlace: ForeignTally]>([:])

  /// - Parameters:
  ///   - stream: The stream's name or its ARN.
  ///   - configuration: How Kinesis is reached.
  ///   - retrieval: How its records are read. Default polling once a second.
  /// - Throws: ``TidemarkError/Code/invalidConfiguration``.
  public convenience init(
    _ stream: String,
    configuration: AWSConfiguration = AWSConfiguration(),
    retrieval: KinesisRetrieval = .polling,
    logger: Logger = Logger(label: "tidemark.kinesis")
  ) throws {
    try self.init(
      stream,
      configuration: configuration,
      retrieval: retrieval,
      environment: AWSEnvironment(),
      logger: logger
    )
  }

  /// - Parameter environment: what credentials, regions and pauses read of the machine.
  package convenience init(
    _ stream: String,
    configuration: AWSConfiguration,
    retrieval: KinesisRetrieval = .polling,
    environment: AWSEnvironment,
    logger: Logger = Logger(label: "tidemark.kinesis")
  ) throws {
    let reference = try StreamReference(stream)
    if let violation = retrieval.violation { throw TidemarkError(.invalidConfiguration, violation) }
    self.init(
      reference,
      client: try AWSClient(
        configuration,
        region: reference.region,
        environment: environment,
        logger: logger
      ),
      retrieval: retrieval,
      environment: environment,
      logger: logger
    )
  }

  init(
    _ stream: StreamReference,
    client: AWSClient,
    retrieval: KinesisRetrieval,
    environment: AWSEnvironment,
    logger: Logger
  ) {
    self.stream = stream
    self.client = client
    readerKind =
      switch retrieval {
      case .polling(let interval): .polling(interval)
      case .fanOut(let name): .fanOut(FanOutConsumer(name, client: client, clock: environment.clock))
      }
    self.environment = environment
    self.logger = logger
  }

  /// The ARN and the second of the stream's creation, so that a stream that was deleted and created again under its name
  /// is another one, as for the KCL.
  public func streamName() async throws -> String {
    if let known = try identity.withLock({ try $0.known() }) { return known }
    return try await summary().streamName
  }

  /// - Throws: `TidemarkError` (`streamNotFound`), also if there is another stream of this name by now.
  @discardableResult
  private func summary() async throws -> DescribeStreamSummaryAnswer.Summary {
    let answer: DescribeStreamSummaryAnswer = try await client.send(
      "DescribeStreamSummary",
      to: .kinesis,
      StreamRequest(stream)
    ).decoded()
    let summary = answer.StreamDescriptionSummary
    try identity.withLock { try $0.found(summary.streamName) }
    return summary
  }

  func streamARN() async throws -> String { try await summary().StreamARN }

  /// - Throws: ``TidemarkError/Code/streamNotFound``, also if there is another stream of this name by now, whose shards have
  ///   the same ids. Workers that are started then read that one from their initial position.
  public func shards() async throws -> [Shard] {
    let shards = try await wholeListing()
    // Afterwards, so that what was listed is of this stream.
    try await summary()
    return shards
  }

  private func wholeListing() async throws -> [Shard] {
    // A listing's token is good for five minutes. A slow listing whose token expired begins again.
    for _ in 0..<2 {
      do { return try await listing() } catch let error as TidemarkError where error.code == .iteratorExpired
      {
        logger.warning("The listing of shards begins again", metadata: ["error": "\(error)"])
      }
    }
    return try await listing()
  }

  /// - Throws: `TidemarkError` (`streamNotFound`) once a listing has found another stream of this name.
  func ensureSameStream() throws { _ = try identity.withLock { try $0.known() } }

  private func listing() async throws -> [Shard] {
    var request = ListShardsRequest(stream)
    var shards: [Shard] = []
    while true {
      let response = try await client.send("ListShards", to: .kinesis, request)
      let answer: ListShardsAnswer = try response.decoded()
      for shard in answer.Shards { shards.append(try shard.shard(in: response)) }
      guard let token = answer.NextToken else {
        let byID = Dictionary(shards.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        listed.withLock { $0 = byID }
        return shards
      }
      request = ListShardsRequest(after: token)
    }
  }

  func hashKeys(of shardID: String) -> ShardHashKeys? {
    listed.withLock { ShardHashKeys(of: shardID, in: $0) }
  }

  func tell(_ foreign: [ForeignRecords.Fate: ForeignRecords], of shardID: String) {
    for (fate, records) in foreign {
      let place = ForeignPlace(shardID: shardID, fate: fate)
      let now = environment.clock.now
      let count = foreignTallies.withLock { $0[place, default: ForeignTally()].add(records.count, at: now) }
      guard let count else { continue }
      logger.warning(
        "\(fate.explanation)",
        metadata: ["shard": "\(shardID)", "number": "\(records.sequenceNumber)", "count": "\(count)"]
      )
    }
  }

  public func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
    try ensureSameStream()
    switch readerKind {
    case .polling(let interval):
      return try await PollingShardReader.open(shardID, after: checkpoint, every: interval, in: self)
    case .fanOut(let consumer):
      return try await FanOutShardReader.open(shardID, after: checkpoint, as: consumer, in: self)
    }
  }
}
#else
/// What is there of it without the package trait `AWS`.
@available(*, unavailable, message: "Enable the package trait AWS: .package(url: …, traits: [\"AWS\"])")
public struct KinesisSource {
  public init(_ stream: String) {}
}
#endif
