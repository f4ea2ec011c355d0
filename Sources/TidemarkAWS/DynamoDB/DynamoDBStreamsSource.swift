#if AWS
import AWSRequests
import Logging
import Synchronization
import Tidemark

/// A change stream of a DynamoDB table, or all of its streams one after the other.
///
/// A stream that was disabled and enabled again is another one, with a label of its own. Named by its table, the streams
/// that still exist are listed as one lineage: the last shards of one are the parents of the first shards of the next, so
/// that a worker drains the old one and goes on with the beginning of the new one. Named by a stream's ARN, it is that
/// stream alone.
///
/// Records are changes whose images are in DynamoDB's encoding. They are kept for 24 hours. A shard serves at most two
/// readers at a time, or one where the table is a global table: two applications, not more; then the service refuses
/// reads (`throttled`).
///
/// ``InitialPosition/atTimestamp(_:)``, which the service does not have, reads from the oldest record on and leaves out
/// what is older, to the second.
///
/// It calls `ListStreams` (with a table), `DescribeStream`, `GetShardIterator` and `GetRecords`, and needs
/// `dynamodb:` rights of these names.
public final class DynamoDBStreamsSource: StreamSource {
  let api: DynamoDBStreamsAPI
  let name: DynamoDBStreamName
  let pollInterval: Duration
  let environment: AWSEnvironment
  /// Once it is known: each reader needs it, and the service answers few listings.
  private let tableARN = Mutex<String?>(nil)

  /// - Parameters:
  ///   - name: a table's name, which is searched for in the account of the credentials, a table's ARN, or a stream's ARN.
  ///   - pollInterval: the longest pause between two reads of a shard that has nothing new. Default 1 s; more than 0.
  ///     Each read is billed.
  ///   - configuration: how the service is reached; the region is that of the ARN, if there is one and no other is set.
  /// - Throws: `TidemarkError` (`invalidConfiguration`).
  public convenience init(
    _ name: String,
    pollInterval: Duration = .seconds(1),
    configuration: AWSConfiguration = AWSConfiguration(),
    logger: Logger = Logger(label: "tidemark.dynamodb")
  ) throws {
    try self.init(
      name,
      pollInterval: pollInterval,
      configuration: configuration,
      environment: AWSEnvironment(),
      logger: logger
    )
  }

  /// - Parameter environment: what credentials, regions and pauses read of the machine.
  package convenience init(
    _ name: String,
    pollInterval: Duration = .seconds(1),
    configuration: AWSConfiguration,
    environment: AWSEnvironment,
    logger: Logger = Logger(label: "tidemark.dynamodb")
  ) throws {
    let parsed = try DynamoDBStreamName(name)
    if pollInterval <= .zero {
      throw TidemarkError(.invalidConfiguration, "pollInterval is \(pollInterval), must be more than 0.")
    }
    let client = try AWSClient(
      configuration,
      region: parsed.region,
      environment: environment,
      logger: logger
    )
    self.init(parsed, client: client, pollInterval: pollInterval, environment: environment)
  }

  init(
    _ name: DynamoDBStreamName,
    client: AWSClient,
    pollInterval: Duration = .seconds(1),
    environment: AWSEnvironment
  ) {
    self.name = name
    api = DynamoDBStreamsAPI(client: client)
    self.pollInterval = pollInterval
    self.environment = environment
  }

  /// The ARN of the table or of the one stream.
  public func streamName() async throws -> String {
    if let arn = name.arn ?? tableARN.withLock({ $0 }) { return arn }
    let arn = try await listed().last.map { DynamoDBStreamName.table(ofStream: $0.StreamArn) } ?? name.text
    tableARN.withLock { $0 = arn }
    return arn
  }

  public func shards() async throws -> [Shard] { try await lineage().shards }

  public func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
    let arn = try await streamARN(ofShard: shardID)
    return try await DynamoDBShardReader.open(shardID, of: arn, after: checkpoint, in: self)
  }

  /// All streams of the name as they are now, oldest first.
  func lineage() async throws -> DynamoDBLineage {
    guard case .stream(let arn) = name else {
      var streams: [DescribedStream] = []
      for listed in try await listed() {
        // One that is too old may go between the two calls.
        guard let stream = try await found({ try await api.describe(listed.StreamArn) }) else { continue }
        streams.append(stream)
      }
      return DynamoDBLineage(streams, isOfTable: true)
    }
    return DynamoDBLineage([try await api.describe(arn)], isOfTable: false)
  }

  private func found<Value>(_ body: () async throws -> Value) async throws -> Value? {
    do {
      return try await body()
    } catch let error as TidemarkError where error.code == .streamNotFound {
      return nil
    }
  }

  /// The table's streams, oldest first. `ListStreams` has them all, also those that were disabled within a day, of which
  /// `DescribeTable` knows only the newest.
  private func listed() async throws -> [ListedStream] {
    let streams = try await api.listStreams(ofTable: name.tableName)
    if streams.isEmpty {
      throw TidemarkError(
        .streamNotFound,
        "The table \(name.text) has no stream, or there is no such table.",
        advice: "Enable its stream, and look whether region and account are the table's."
      )
    }
    return streams.sorted { $0.StreamLabel < $1.StreamLabel }
  }

  /// The shard's id as the service knows it.
  func ownID(of shardID: String) -> String {
    name.isTable ? DynamoDBLineage.shardID(inStream: shardID) : shardID
  }

  private func streamARN(ofShard shardID: String) async throws -> String {
    if case .stream(let arn) = name { return arn }
    guard let label = DynamoDBLineage.label(ofShard: shardID) else {
      throw TidemarkError(.shardNotFound, "\(shardID) is no shard of the table \(name.text).")
    }
    return "\(try await streamName())/stream/\(label)"
  }

  /// The shards that follow a shard that was read to its end. None if the stream was disabled, or if the service does not
  /// list them yet: then they are found by the next shard sync.
  func children(of shardID: String, in arn: String) async throws -> [Shard] {
    var delay = Duration.milliseconds(50)
    for attempt in 1... {
      if let found = try await filteredChildren(of: shardID, in: arn), !found.isEmpty { return found }
      let lineage = try await lineage()
      let children = lineage.children(of: shardID)
      if !children.isEmpty || !lineage.isEnabled || attempt == Self.childrenAttempts { return children }
      try await environment.clock.sleep(for: delay)
      delay = min(delay * 2, .seconds(1))
    }
    return []
  }

  /// A shard's end and its children are not published at once.
  private static let childrenAttempts = 5

  /// - Returns: `nil` where the service does not know the filter.
  private func filteredChildren(of shardID: String, in arn: String) async throws -> [Shard]? {
    do {
      let stream = try await api.describe(arn, childrenOf: ownID(of: shardID))
      return DynamoDBLineage([stream], isOfTable: name.isTable).children(of: shardID)
    } catch let error as TidemarkError where error.code == .unsupported || error.code == .streamNotFound {
      return nil
    }
  }
}
#else
/// What is there of it without the package trait `AWS`.
@available(*, unavailable, message: "Enable the package trait AWS: .package(url: …, traits: [\"AWS\"])")
public struct DynamoDBStreamsSource {
  public init(_ stream: String) {}
}
#endif
