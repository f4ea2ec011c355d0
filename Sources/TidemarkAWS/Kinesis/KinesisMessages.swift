#if AWS
import Tidemark

// Requests and the small answers of Kinesis as they stand on the wire.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html

struct StreamRequest: Encodable {
  var StreamName: String?
  var StreamARN: String?

  init(_ stream: StreamReference) {
    switch stream.parameter {
    case .name(let name): StreamName = name
    case .arn(let arn): StreamARN = arn
    }
  }
}

struct DescribeStreamSummaryAnswer: Decodable {
  struct Summary: Decodable {
    var StreamARN: String
    /// Seconds since 1970.
    var StreamCreationTimestamp: Double

    var streamName: String { "\(StreamARN):\(Int64(StreamCreationTimestamp))" }
  }

  var StreamDescriptionSummary: Summary
}

/// A token stands for the stream, too, and is refused beside its name.
struct ListShardsRequest: Encodable {
  var StreamName: String?
  var StreamARN: String?
  var NextToken: String?

  init(_ stream: StreamReference) {
    let request = StreamRequest(stream)
    (StreamName, StreamARN) = (request.StreamName, request.StreamARN)
  }

  init(after token: String) { NextToken = token }
}

struct ListShardsAnswer: Decodable {
  var Shards: [ListedShard]
  var NextToken: String?
}

struct ListedShard: Decodable {
  struct Numbers: Decodable {
    var StartingSequenceNumber: String
    var EndingSequenceNumber: String?
  }

  var ShardId: String
  var ParentShardId: String?
  var AdjacentParentShardId: String?
  var HashKeyRange: HashKeys?
  var SequenceNumberRange: Numbers

  /// Parents that are listed no more stay named: what waits for a parent looks whether it is leased.
  func shard(in response: AWSResponse) throws -> Shard {
    let numbers = SequenceNumberRange
    return Shard(
      id: ShardId,
      parentIDs: [ParentShardId, AdjacentParentShardId].compactMap { $0 },
      hashRange: try HashKeyRange?.range(in: response),
      startingSequenceNumber: try response.sequenceNumber(numbers.StartingSequenceNumber),
      endingSequenceNumber: try numbers.EndingSequenceNumber.map(response.sequenceNumber)
    )
  }
}

/// What `GetRecords` tells of the shards that follow one that has ended.
struct ChildShard: Decodable {
  var ShardId: String
  var ParentShards: [String]
  var HashKeyRange: HashKeys?

  func shard(in response: AWSResponse) throws -> Shard {
    Shard(id: ShardId, parentIDs: ParentShards, hashRange: try HashKeyRange?.range(in: response))
  }
}

/// Both ends are included, in decimal digits.
struct HashKeys: Decodable {
  var StartingHashKey: String
  var EndingHashKey: String

  func range(in response: AWSResponse) throws -> Shard.HashRange {
    guard let start = UInt128(StartingHashKey), let end = UInt128(EndingHashKey) else {
      throw response.malformed("\(StartingHashKey) … \(EndingHashKey) is no range of hash keys.")
    }
    return Shard.HashRange(start: start, end: end)
  }
}

/// Where a shard is read from.
struct StartingPosition: Encodable, Hashable {
  var `Type`: String
  var SequenceNumber: String?
  /// Seconds since 1970, to the millisecond.
  var Timestamp: Double?

  /// - Parameter checkpoint: what is after a record begins with that record, which shows whether it still exists.
  init(at checkpoint: Checkpoint) {
    switch checkpoint {
    case .atTimestamp(let time):
      Type = "AT_TIMESTAMP"
      Timestamp = (Double(time.microsecondsSinceEpoch) / 1000).rounded(.down) / 1000
    case .trimHorizon: Type = "TRIM_HORIZON"
    case .latest, .shardEnd: Type = "LATEST"
    case .record(let number, _): (Type, SequenceNumber) = ("AT_SEQUENCE_NUMBER", number.description)
    }
  }

  init(behind number: Tidemark.SequenceNumber) {
    (Type, SequenceNumber) = ("AFTER_SEQUENCE_NUMBER", number.description)
  }
}

struct ShardIteratorRequest: Encodable {
  var StreamName: String?
  var StreamARN: String?
  var ShardId: String
  var ShardIteratorType: String
  var StartingSequenceNumber: String?
  /// Seconds since 1970, to the millisecond.
  var Timestamp: Double?

  init(_ stream: StreamReference, _ shardID: String, after checkpoint: Checkpoint) {
    let request = StreamRequest(stream)
    (StreamName, StreamARN, ShardId) = (request.StreamName, request.StreamARN, shardID)
    let start = StartingPosition(at: checkpoint)
    (ShardIteratorType, StartingSequenceNumber) = (start.Type, start.SequenceNumber)
    Timestamp = start.Timestamp
  }
}

struct ShardIteratorAnswer: Decodable {
  var ShardIterator: String
}

struct RecordsRequest: Encodable {
  var ShardIterator: String
  var Limit: Int
  /// Beside the iterator it is not needed, except by policies that name resources.
  var StreamARN: String?

  init(_ stream: StreamReference, _ iterator: String, limit: Int) {
    (ShardIterator, Limit, StreamARN) = (iterator, limit, StreamRequest(stream).StreamARN)
  }
}

/// `DescribeStreamConsumer` and `RegisterStreamConsumer` ask by the same.
struct ConsumerRequest: Encodable {
  var StreamARN: String
  var ConsumerName: String
}

struct SubscriptionRequest: Encodable {
  var ConsumerARN: String
  var ShardId: String
  var StartingPosition: StartingPosition
}

extension AWSResponse {
  fileprivate func sequenceNumber(_ text: String) throws -> SequenceNumber {
    guard let number = SequenceNumber(text) else { throw malformed("\(text) is no sequence number.") }
    return number
  }
}
#endif
