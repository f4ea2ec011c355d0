#if AWS
import Foundation
import NIOHTTP1
import Synchronization
import Tidemark

/// A DynamoDB table with its streams, as far as a reader of streams can tell it from the service. No endpoint that one
/// can install rotates shards or marks what expired.
///
/// Written from the API reference of DynamoDB Streams, version 2012-08-10 (operations, shapes, limits), the developer
/// guide's pages on streams and TTL (lifetimes, order, who deletes), and what the tests of ScyllaDB's Alternator, which
/// also run against AWS, say of the service: an unknown start of a page is no error, disabled streams are listed and are
/// read through their own ARN, shards are listed in the order of their ids, a last page has no key for a next iterator.
final class FakeDynamoDBStreams: Sendable {
  enum ChildFilter: Sendable { case heeded, ignored, refused }

  struct Options: Sendable {
    var viewType = StreamViewType.newAndOldImages
    /// A shard is closed, and has a child, after this many records.
    var recordsPerShard = Int.max
    var shardsPerPage = 100
    var childFilter = ChildFilter.heeded
    /// All shards rotate after as many pages that are not the last.
    var rotationsBetweenPages = 0
    /// As many calls of `DescribeStream` do not tell of new children.
    var callsWithoutChildren = 0
    /// Every second page of a reader has no records, as the service may do anywhere in a shard.
    var hasEmptyPages = false
  }

  static let table = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders"

  private let state: Mutex<FakeTable>
  let faults = Faults()

  init(_ options: Options = Options(), now: @escaping @Sendable () -> Timestamp) {
    state = Mutex(FakeTable(options, now))
  }

  func change<Result: Sendable>(_ body: (inout FakeTable) -> Result) -> Result {
    state.withLock { body(&$0) }
  }

  func reply(to request: ReceivedRequest) -> Reply {
    if let fault = faults.reply(to: request) { return fault }
    guard let call = try? JSONDecoder().decode(FakeCall.self, from: Data(request.body.utf8)) else {
      return .failing("SerializationException")
    }
    return state.withLock { $0.reply(to: request.operation, call) }
  }
}

/// The parameters of all operations.
struct FakeCall: Decodable {
  struct Filter: Decodable {
    var `Type`: String?
    var ShardId: String?
  }
  var TableName: String?
  var ExclusiveStartStreamArn: String?
  var StreamArn: String?
  var ExclusiveStartShardId: String?
  var ShardFilter: Filter?
  var ShardId: String?
  var ShardIteratorType: String?
  var SequenceNumber: String?
  var ShardIterator: String?
  var Limit: Int?
}
#endif
