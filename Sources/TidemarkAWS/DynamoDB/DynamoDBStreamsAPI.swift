#if AWS
import AWSRequests
import Tidemark

/// The operations of the service that describe streams, and those that read one.
///
/// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
struct DynamoDBStreamsAPI: Sendable {
  let client: AWSClient

  /// What is in an answer after the last page of one operation may be empty, but is not endless.
  private static let maximumPages = 10_000

  func listStreams(ofTable table: String) async throws -> [ListedStream] {
    struct Input: Encodable {
      var TableName: String
      var ExclusiveStartStreamArn: String?
    }
    struct Output: Decodable {
      var Streams: [ListedStream]
      var LastEvaluatedStreamArn: String?
    }
    var (streams, input) = ([ListedStream](), Input(TableName: table))
    for _ in 0..<Self.maximumPages {
      let page: Output = try await send("ListStreams", input).decoded()
      streams += page.Streams
      guard let last = page.LastEvaluatedStreamArn, last != input.ExclusiveStartStreamArn else { break }
      input.ExclusiveStartStreamArn = last
    }
    return streams
  }

  /// The stream with all its shards, however many pages that takes. Shards come and go between the pages.
  ///
  /// - Parameter parent: asks only for the children of this shard. Not every endpoint heeds that.
  func describe(_ arn: String, childrenOf parent: String? = nil) async throws -> DescribedStream {
    struct Filter: Encodable {
      var `Type` = "CHILD_SHARDS"
      var ShardId: String
    }
    struct Input: Encodable {
      var StreamArn: String
      var ExclusiveStartShardId: String?
      var ShardFilter: Filter?
    }
    struct Output: Decodable { var StreamDescription: DescribedStream }
    var input = Input(StreamArn: arn, ShardFilter: parent.map { Filter(ShardId: $0) })
    var whole: DescribedStream?
    for _ in 0..<Self.maximumPages {
      let output: Output = try await send("DescribeStream", input).decoded()
      var page = output.StreamDescription
      // A page may repeat what was on the one before, when shards changed in between.
      let known = Set((whole?.Shards ?? []).map(\.ShardId))
      page.Shards = (whole?.Shards ?? []) + page.Shards.filter { !known.contains($0.ShardId) }
      whole = page
      // "Not empty" does not mean that there is more; only "absent" means that there is not.
      guard let last = page.LastEvaluatedShardId, last != input.ExclusiveStartShardId else { return page }
      input.ExclusiveStartShardId = last
    }
    throw TidemarkError(.sourceUnavailable, "The list of shards of \(arn) does not end.")
  }

  func shardIterator(_ start: IteratorStart, of shardID: String, in arn: String) async throws -> (
    iterator: String, date: Timestamp?
  ) {
    struct Input: Encodable {
      var StreamArn: String
      var ShardId: String
      var ShardIteratorType: String
      var SequenceNumber: String?
    }
    struct Output: Decodable { var ShardIterator: String }
    let response = try await send(
      "GetShardIterator",
      Input(
        StreamArn: arn,
        ShardId: shardID,
        ShardIteratorType: start.type,
        SequenceNumber: start.sequenceNumber?.description
      )
    )
    let output: Output = try response.decoded()
    return (output.ShardIterator, response.date)
  }

  func records(at iterator: String, limit: Int) async throws -> (page: StreamRecordPage, date: Timestamp?) {
    struct Input: Encodable {
      var ShardIterator: String
      var Limit: Int
    }
    do {
      let response = try await send("GetRecords", Input(ShardIterator: iterator, Limit: limit))
      do {
        return (try StreamRecordPage(response.body), response.date)
      } catch {
        throw response.malformed("\(error)")
      }
    } catch var error as TidemarkError
      where (error.underlying as? AWSError)?.code == "LimitExceededException"
    {
      error.advice =
        "A shard serves two readers at a time, one for a global table. Find out who else reads it."
      throw error
    }
  }

  private func send(_ operation: String, _ input: some Encodable) async throws -> AWSResponse {
    try await client.send(operation, to: .dynamoDBStreams, input)
  }
}

struct ListedStream: Decodable, Sendable {
  var StreamArn: String
  var StreamLabel: String
}

struct DescribedStream: Decodable, Sendable {
  struct ListedShard: Decodable, Sendable {
    struct Range: Decodable, Sendable {
      var StartingSequenceNumber: String?
      var EndingSequenceNumber: String?
    }
    var ShardId: String
    var ParentShardId: String?
    var SequenceNumberRange: Range?
  }

  var StreamLabel: String
  var StreamStatus: String
  var Shards: [ListedShard]
  var LastEvaluatedShardId: String?

  /// Whether shards may still be added.
  var isEnabled: Bool { StreamStatus == "ENABLED" || StreamStatus == "ENABLING" }
}
#endif
