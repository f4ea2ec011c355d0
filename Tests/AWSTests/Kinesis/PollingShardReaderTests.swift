#if AWS
import Foundation
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// A shard of a Kinesis that answers by a script.
private final class ScriptedShard: Sendable {
  let machine = TestMachine()
  let server: LoopbackServer

  /// Iterators are always given, numbered from 1, unless `iterator` says otherwise. `GetRecords` is answered with the
  /// replies one after the other, and then with the last again and again.
  init(_ replies: Reply..., iterator: Reply? = nil) async throws {
    let script = Mutex(replies)
    let iterators = Mutex(0)
    server = try await LoopbackServer { request in
      if request.headers["X-Amz-Target"].first?.hasSuffix("GetShardIterator") == true {
        let number = iterators.withLock { count in
          count += 1
          return count
        }
        return iterator
          ?? .json(#"{"ShardIterator":"I\#(number)"}"#, headers: ["Date": "Mon, 01 Jun 2026 11:59:59 GMT"])
      }
      return script.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
    }
  }

  func source() throws -> KinesisSource {
    let configuration = AWSConfiguration(endpoint: server.url)
    return try KinesisSource(
      "orders",
      configuration: configuration,
      environment: machine.environment(),
      logger: machine.logger
    )
  }

  func reader(after checkpoint: Checkpoint = .trimHorizon) async throws -> any ShardReader {
    try await source().reader(of: "shardId-000000000000", after: checkpoint)
  }

  /// What was asked for iterators, as `TYPE`, `TYPE number` or `TYPE seconds`.
  var openings: [String] {
    get throws {
      try server.requests.filter { $0.body.contains("ShardIteratorType") }.map { request in
        struct Request: Decodable {
          var ShardIteratorType: String
          var StartingSequenceNumber: String?
          var Timestamp: Double?
        }
        let asked = try JSONDecoder().decode(Request.self, from: Data(request.body.utf8))
        let place = asked.StartingSequenceNumber ?? asked.Timestamp.map { "\(Int64($0))" }
        return asked.ShardIteratorType + (place.map { " \($0)" } ?? "")
      }
    }
  }
}

private func page(_ numbers: Int..., next: String? = "N", behind: Int = 0, children: String? = nil) -> Reply {
  let records = numbers.map {
    #"{"SequenceNumber":"\#($0)","ApproximateArrivalTimestamp":1.780315199123E9,"Data":"b3JkZXI=","PartitionKey":"k"}"#
  }
  let iterator = next.map { #","NextShardIterator":"\#($0)""# } ?? #","NextShardIterator":null"#
  let shards = children.map { #","ChildShards":\#($0)"# } ?? ""
  return .json(
    #"{"Records":[\#(records.joined(separator: ","))],"MillisBehindLatest":\#(behind)\#(iterator)\#(shards)}"#,
    headers: ["Date": "Mon, 01 Jun 2026 12:00:00 GMT"]
  )
}

private func numbers(_ page: ShardPage) -> [SequenceNumber] { page.records.map(\.sequenceNumber) }

@Suite("Readers of a Kinesis shard that is polled", .sharesMachine)
struct PollingShardReaderTests {
  @Test("readers hand out records as views, with all that the service tells of them")
  func records() async throws {
    let shard = try await ScriptedShard(page(101, 102, behind: 7))
    let page = try await shard.reader().nextPage(maximumRecords: 50)
    #expect(numbers(page) == [101, 102] && page.millisBehindLatest == 7 && page.end == nil)
    #expect(page.readAt == Timestamp(iso8601: "2026-06-01T12:00:00Z"))
    let record = try #require(page.records.first)
    #expect(record.data.map(Array.init) == Array("order".utf8) && record.sizeInBytes == 5)
    #expect(record.partitionKey == "k" && record.change == nil)
    #expect(record.eventID == "shardId-000000000000:101")
    #expect(record.approximateCreationTime == Timestamp(iso8601: "2026-06-01T11:59:59.123Z"))
    let body = try #require(shard.server.requests.last?.body)
    #expect(body.contains(#""Limit":50"#) && body.contains(#""ShardIterator":"I1""#))
  }

  @Test(
    "readers begin where the checkpoint says",
    arguments: [
      (Checkpoint.trimHorizon, "TRIM_HORIZON"), (.latest, "LATEST"), (.record(7), "AT_SEQUENCE_NUMBER 7"),
      (.atTimestamp(Timestamp(microsecondsSinceEpoch: 1_700_000_000_999_999)), "AT_TIMESTAMP 1700000000"),
    ]
  )
  func positions(checkpoint: Checkpoint, opening: String) async throws {
    let shard = try await ScriptedShard(page())
    _ = try await shard.reader(after: checkpoint)
    #expect(try shard.openings == [opening])
  }

  @Test("readers leave out the record of the checkpoint, which only shows that it still exists")
  func checkpoint() async throws {
    let shard = try await ScriptedShard(page(7, 8), page(9))
    let reader = try await shard.reader(after: .record(7))
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [8])
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [9])
  }

  @Test("readers report records that were trimmed without a word, as often as they are asked")
  func trimmed() async throws {
    let shard = try await ScriptedShard(page(behind: 9000), page(20, 21, behind: 8000))
    let reader = try await shard.reader(after: .record(7))
    #expect(try await reader.nextPage(maximumRecords: 10).records.isEmpty)
    for _ in 0..<2 {
      let error = try await #require(throws: TidemarkError.self) {
        try await reader.nextPage(maximumRecords: 10)
      }
      #expect(error.code == .recordsTrimmed && error.message.contains("record 7 "))
    }
  }

  @Test("readers report a shard that ends without the record of the checkpoint")
  func trimmedToTheEnd() async throws {
    let shard = try await ScriptedShard(page(next: nil, children: #"[{"ShardId":"c","ParentShards":["p"]}]"#))
    let reader = try await shard.reader(after: .record(7))
    let error = try await #require(throws: TidemarkError.self) {
      try await reader.nextPage(maximumRecords: 10)
    }
    #expect(error.code == .recordsTrimmed)
  }

  @Test("readers take an idle shard whose last record is gone for what it is, once they have caught up")
  func idle() async throws {
    let shard = try await ScriptedShard(page(), page(20))
    let reader = try await shard.reader(after: .record(7))
    #expect(try await reader.nextPage(maximumRecords: 10).records.isEmpty)
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [20])
  }

  @Test("readers go on after the last record when an iterator has expired")
  func expired() async throws {
    let shard = try await ScriptedShard(page(1, 2), .failing("ExpiredIteratorException"), page(2, 3))
    let reader = try await shard.reader(after: .latest)
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [1, 2])
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [3])
    #expect(try shard.openings == ["LATEST", "AT_SEQUENCE_NUMBER 2"])
  }

  @Test("readers go on where LATEST was when an iterator expires before the first record")
  func expiredAtLatest() async throws {
    let shard = try await ScriptedShard(page(), .failing("ExpiredIteratorException"), page(3))
    let reader = try await shard.reader(after: .latest)
    let opening = try #require(Timestamp(iso8601: "2026-06-01T11:59:59Z"))
    #expect(reader.origin == .atTimestamp(opening))
    _ = try await reader.nextPage(maximumRecords: 10)
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [3])
    #expect(try shard.openings == ["LATEST", "AT_TIMESTAMP \(opening.microsecondsSinceEpoch / 1_000_000)"])
  }

  @Test("readers tell both parents of the shards that follow, with the last records")
  func end() async throws {
    let children = """
      [{"ShardId":"c","ParentShards":["shardId-000000000000","b"],
        "HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"340282366920938463463374607431768211455"}}]
      """
    let shard = try await ScriptedShard(page(5, next: nil, children: children))
    let page = try await shard.reader().nextPage(maximumRecords: 10)
    #expect(numbers(page) == [5])
    let child = Shard(id: "c", parentIDs: ["shardId-000000000000", "b"], hashRange: .all)
    #expect(page.end?.children == [child])
  }

  @Test(
    "readers survive a storm of errors, throttling, resets and halves of answers without losing their place"
  )
  func storm() async throws {
    let half = Reply(body: #"{"Records":[{"SequenceNumber":"2","Data":"b3Jk"#)
    let shard = try await ScriptedShard(
      page(1),
      .failing("ProvisionedThroughputExceededException"),
      .error(500, ""),
      .error(503, "<html>"),
      Reply(body: #"{"Records":[{"SequenceNumber":"2"}]}"#, delivery: .reset),
      half,
      page(2)
    )
    let reader = try await shard.reader()
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [1])
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [2])
    #expect(try shard.openings == ["TRIM_HORIZON"])
  }

  @Test(
    "readers stand where they stood when an answer is malformed",
    arguments: [
      #"{"Records":[{"SequenceNumber":"2","Data":"???=","PartitionKey":"k"}],"NextShardIterator":"X"}"#,
      #"{"Records":[{"SequenceNumber":"two","Data":"","PartitionKey":"k"}],"NextShardIterator":"X"}"#,
      #"{"Records":[{"SequenceNumber":"2","PartitionKey":"k"}],"NextShardIterator":"X"}"#,
      #"{"Records":[{"SequenceNumber":"2",}],"NextShardIterator":"X"}"#, #"{"Records":7}"#,
      #"{"NextShardIterator":"X","Records":[],"ChildShards":[1]}"#, #"{"Records":["}"#, "{}",
      #"{"__type":"InternalFailure"}"#,
    ]
  )
  func malformed(body: String) async throws {
    let shard = try await ScriptedShard(.json(body), page(2))
    let reader = try await shard.reader()
    let error = try await #require(throws: TidemarkError.self) {
      try await reader.nextPage(maximumRecords: 10)
    }
    #expect(error.code == .sourceUnavailable && error.isRetryable && error.message.contains("GetRecords"))
    #expect(try await numbers(reader.nextPage(maximumRecords: 10)) == [2])
    #expect(shard.server.requests.last?.body.contains(#""ShardIterator":"I1""#) == true)
  }

  @Test("readers say whether it is the shard or its stream that is missing")
  func missing() async throws {
    for (message, code) in [
      (
        "Shard shardId-000000000000 in stream orders under account 123456789012 does not exist",
        TidemarkError.Code.shardNotFound
      ),
      ("Stream orders under account 123456789012 not found.", .streamNotFound),
    ] {
      let refusal = Reply.failing("ResourceNotFoundException", message: message)
      let shard = try await ScriptedShard(page(), iterator: refusal)
      let error = try await #require(throws: TidemarkError.self) { try await shard.reader() }
      #expect(error.code == code)
    }
  }

  @Test("readers read five times a second while there is more, and once a poll interval when there is not")
  func pace() async throws {
    let shard = try await ScriptedShard(
      page(1, behind: 1),
      page(2, behind: 1),
      page(3, behind: 1),
      page(4, behind: 1),
      page(5, behind: 1),
      page(6),
      page()
    )
    let reader = try await shard.reader()
    for _ in 0..<8 { _ = try await reader.nextPage(maximumRecords: 10) }
    #expect(shard.machine.clock.pauses == [.seconds(1), .seconds(1), .seconds(1)])
  }
}
#endif
