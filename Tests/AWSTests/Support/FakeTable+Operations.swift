#if AWS
import Tidemark

extension FakeTable {
  mutating func reply(to operation: String, _ call: FakeCall) -> Reply {
    switch operation {
    case "ListStreams": listStreams(call)
    case "DescribeStream": describeStream(call)
    case "GetShardIterator": getShardIterator(call)
    case "GetRecords": getRecords(call)
    default: .failing("UnknownOperationException")
    }
  }

  private static let notFound = Reply.failing(
    "ResourceNotFoundException",
    message: "Requested resource not found"
  )

  private func arn(_ stream: FakeStream) -> String { "\(FakeDynamoDBStreams.table)/stream/\(stream.label)" }

  /// A page has one, so that reading all of them takes several.
  private func listStreams(_ call: FakeCall) -> Reply {
    let streams = call.TableName == "orders" ? streams : []
    let rest = streams.drop { stream in call.ExclusiveStartStreamArn.map { arn(stream) <= $0 } ?? false }
    guard let first = rest.first else { return .json(#"{"Streams":[]}"#) }
    return .json(
      """
      {"Streams":[{"StreamArn":"\(arn(first))","TableName":"orders","StreamLabel":"\(first.label)"}],\
      "LastEvaluatedStreamArn":"\(arn(first))"}
      """
    )
  }

  private mutating func describeStream(_ call: FakeCall) -> Reply {
    guard let index = streams.firstIndex(where: { arn($0) == call.StreamArn }) else { return Self.notFound }
    var shards = streams[index].shards
    if let filter = call.ShardFilter, options.childFilter != .ignored {
      guard options.childFilter == .heeded, filter.Type == "CHILD_SHARDS" else {
        return .failing("ValidationException")
      }
      shards.removeAll { $0.parent != filter.ShardId }
    }
    for (position, shard) in streams[index].shards.enumerated() where shard.hiddenFor > 0 {
      countDown(position, in: index)
      shards.removeAll { $0.id == shard.id }
    }
    shards.sort { $0.id < $1.id }
    shards.removeAll { shard in call.ExclusiveStartShardId.map { shard.id <= $0 } ?? false }
    let page = shards.prefix(options.shardsPerPage)
    let isLast = page.count == shards.count
    let last = isLast ? "" : #","LastEvaluatedShardId":"\#(page.last?.id ?? "")""#
    let status = streams[index].isEnabled ? "ENABLED" : "DISABLED"
    if !isLast, options.rotationsBetweenPages > 0, index == streams.count - 1 {
      options.rotationsBetweenPages -= 1
      rotateAll()
    }
    return .json(
      """
      {"StreamDescription":{"StreamArn":"\(call.StreamArn ?? "")","StreamLabel":"\(streams[index].label)",\
      "StreamStatus":"\(status)","StreamViewType":"\(options.viewType.rawValue)","TableName":"orders",\
      "CreationRequestDateTime":1780315200,"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],\
      "Shards":[\(page.map(Self.json).joined(separator: ","))]\(last)}}
      """
    )
  }

  private static func json(_ shard: FakeShard) -> String {
    let parent = shard.parent.map { #","ParentShardId":"\#($0)""# } ?? ""
    let end = shard.end.map { #","EndingSequenceNumber":"\#($0)""# } ?? ""
    return """
      {"ShardId":"\(shard.id)"\(parent),"SequenceNumberRange":{"StartingSequenceNumber":"\(shard.start)"\(end)}}
      """
  }

  private mutating func getShardIterator(_ call: FakeCall) -> Reply {
    guard let index = streams.firstIndex(where: { arn($0) == call.StreamArn }),
      let shard = streams[index].shards.first(where: { $0.id == call.ShardId })
    else { return Self.notFound }
    let position: Int
    switch (call.ShardIteratorType, call.SequenceNumber) {
    case ("TRIM_HORIZON", nil): position = shard.trimmed
    case ("LATEST", nil): position = shard.records.count
    case ("AFTER_SEQUENCE_NUMBER", let number?):
      // The text is the one that was given out, with its zeros.
      guard let found = shard.records.firstIndex(where: { $0.sequenceNumber == number }) else {
        return .failing("ValidationException", message: "Invalid SequenceNumber")
      }
      if found + 1 < shard.trimmed { return .failing("TrimmedDataAccessException") }
      position = found + 1
    default: return .failing("ValidationException")
    }
    let iterator = issue(FakeIterator(stream: index, shardID: shard.id, position: position, issuedAt: now()))
    return .json(#"{"ShardIterator":"\#(iterator)"}"#)
  }

  private mutating func issue(_ iterator: FakeIterator) -> String {
    let name = "\(arn(streams[iterator.stream]))|1|\(iterators.count)"
    iterators[name] = iterator
    return name
  }

  private mutating func getRecords(_ call: FakeCall) -> Reply {
    guard let name = call.ShardIterator, var iterator = iterators[name], let limit = call.Limit,
      (1...1000).contains(limit)
    else { return .failing("ValidationException", message: "Invalid ShardIterator") }
    if now().microsecondsSinceEpoch - iterator.issuedAt.microsecondsSinceEpoch > 15 * 60 * 1_000_000 {
      return .failing("ExpiredIteratorException")
    }
    guard let shard = streams[iterator.stream].shards.first(where: { $0.id == iterator.shardID }) else {
      return Self.notFound
    }
    if iterator.position < shard.trimmed { return .failing("TrimmedDataAccessException") }
    let records = iterator.isEmpty ? [] : shard.records[iterator.position...].prefix(limit)
    iterator.position += records.count
    iterator.isEmpty = options.hasEmptyPages && !iterator.isEmpty
    iterator.issuedAt = now()
    let isOver = shard.end != nil && iterator.position == shard.records.count
    let next = isOver ? "" : #","NextShardIterator":"\#(issue(iterator))""#
    return .json(#"{"Records":[\#(records.map(\.json).joined(separator: ","))]\#(next)}"#)
  }
}
#endif
