#if AWS
import Foundation
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

private let streamARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
private let consumerARN = "\(streamARN)/consumer/billing:1780315000"

/// Replies one after the other, and then the last again and again.
private final class Script: Sendable {
  private let replies: Mutex<[Reply]>

  init(_ replies: [Reply]) { self.replies = Mutex(replies) }

  func next() -> Reply { replies.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] } }
}

/// A Kinesis whose one shard answers subscriptions by a script.
private final class ScriptedShard: Sendable {
  let machine = TestMachine()
  let server: LoopbackServer

  /// - Parameters:
  ///   - replies: to `SubscribeToShard`.
  ///   - consumer: what `DescribeStreamConsumer` answers.
  init(_ replies: Reply..., consumer: [Reply] = [described("ACTIVE")]) async throws {
    let (subscriptions, descriptions) = (Script(replies), Script(consumer))
    server = try await LoopbackServer { request in
      switch request.operation {
      case "SubscribeToShard": subscriptions.next()
      case "DescribeStreamConsumer": descriptions.next()
      case "RegisterStreamConsumer": .json("{}")
      default:
        .json(
          #"{"StreamDescriptionSummary":{"StreamARN":"\#(streamARN)","StreamCreationTimestamp":1.7E9}}"#
        )
      }
    }
  }

  func source(timeout: Duration = .seconds(30)) throws -> KinesisSource {
    var configuration = AWSConfiguration(endpoint: server.url)
    configuration.timeout = timeout
    return try KinesisSource(
      "orders",
      configuration: configuration,
      retrieval: .fanOut(consumerName: "billing"),
      environment: machine.environment(),
      logger: machine.logger
    )
  }

  func reader(after checkpoint: Checkpoint = .trimHorizon, timeout: Duration = .seconds(30)) async throws
    -> any ShardReader
  {
    try await source(timeout: timeout).reader(of: "shardId-000000000000", after: checkpoint)
  }

  /// Where subscriptions began, as `TYPE`, `TYPE number` or `TYPE seconds`.
  var starts: [String] {
    get throws {
      try server.requests.filter { $0.operation == "SubscribeToShard" }.map { request in
        struct Request: Decodable {
          struct Start: Decodable {
            var `Type`: String
            var SequenceNumber: String?
            var Timestamp: Double?
          }

          var ConsumerARN: String
          var ShardId: String
          var StartingPosition: Start
        }
        let asked = try JSONDecoder().decode(Request.self, from: Data(request.body.utf8))
        #expect(asked.ConsumerARN == consumerARN && asked.ShardId == "shardId-000000000000")
        let start = asked.StartingPosition
        let place = start.SequenceNumber ?? start.Timestamp.map { "\(Int64($0))" }
        return start.Type + (place.map { " \($0)" } ?? "")
      }
    }
  }

  func count(of operation: String) -> Int { server.requests.count { $0.operation == operation } }
}

private func described(_ status: String) -> Reply {
  .json(#"{"ConsumerDescription":{"ConsumerARN":"\#(consumerARN)","ConsumerStatus":"\#(status)"}}"#)
}

private let notFound = Reply.failing("ResourceNotFoundException", message: "Consumer not found.")

/// What a subscription answers.
private func pushed(_ frames: [UInt8]..., delivery: Reply.Delivery = .whole) -> Reply {
  let start = eventStreamFrame([":message-type": "event", ":event-type": "initial-response"], "{}")
  return Reply(
    bytes: start + frames.flatMap { $0 },
    headers: [
      "Content-Type": "application/vnd.amazon.eventstream", "Date": "Mon, 01 Jun 2026 12:00:00 GMT",
    ],
    delivery: delivery
  )
}

private func event(_ numbers: Int..., continuation: Int? = nil, behind: Int = 0, children: String? = nil)
  -> [UInt8]
{
  let records = numbers.map {
    #"{"SequenceNumber":"\#($0)","ApproximateArrivalTimestamp":1.780315199123E9,"Data":"b3JkZXI=","PartitionKey":"k"}"#
  }
  let next = (continuation ?? numbers.last).map { #","ContinuationSequenceNumber":"\#($0)""# } ?? ""
  let shards = children.map { #","ChildShards":\#($0)"# } ?? ""
  return eventStreamFrame(
    [
      ":message-type": "event", ":event-type": "SubscribeToShardEvent", ":content-type": "application/json",
    ],
    #"{"Records":[\#(records.joined(separator: ","))],"MillisBehindLatest":\#(behind)\#(next)\#(shards)}"#
  )
}

private func exception(_ type: String, _ message: String = "No.") -> [UInt8] {
  eventStreamFrame([":message-type": "exception", ":exception-type": type], #"{"message":"\#(message)"}"#)
}

private func numbers(_ page: ShardPage) -> [SequenceNumber] { page.records.map(\.sequenceNumber) }

extension ShardReader {
  fileprivate func numbers(_ maximum: Int = 100) async throws -> [SequenceNumber] {
    try await nextPage(maximumRecords: maximum).records.map(\.sequenceNumber)
  }
}

@Suite("Readers of a Kinesis shard with enhanced fan-out", .sharesMachine)
struct FanOutShardReaderTests {
  @Test("readers hand out what is pushed as views, an event in as many pages as it takes")
  func records() async throws {
    let shard = try await ScriptedShard(
      pushed(event(101, 102, 103, behind: 7), event(continuation: 103), delivery: .open)
    )
    let reader = try await shard.reader()
    let first = try await reader.nextPage(maximumRecords: 2)
    #expect(numbers(first) == [101, 102] && first.millisBehindLatest == 7 && first.end == nil)
    #expect(first.readAt == Timestamp(iso8601: "2026-06-01T12:00:00Z"))
    let record = try #require(first.records.first)
    #expect(record.data.map(Array.init) == Array("order".utf8) && record.partitionKey == "k")
    #expect(record.eventID == "shardId-000000000000:101")
    #expect(try await reader.numbers(2) == [103])
    let idle = try await reader.nextPage(maximumRecords: 2)
    #expect(idle.records.isEmpty && idle.millisBehindLatest == 0 && idle.end == nil)
    #expect(try shard.starts == ["TRIM_HORIZON"])
  }

  @Test(
    "readers begin where the checkpoint says",
    arguments: [
      (Checkpoint.trimHorizon, "TRIM_HORIZON"), (.latest, "LATEST"), (.record(7), "AT_SEQUENCE_NUMBER 7"),
      (.atTimestamp(Timestamp(microsecondsSinceEpoch: 1_700_000_000_999_999)), "AT_TIMESTAMP 1700000000"),
    ]
  )
  func positions(checkpoint: Checkpoint, start: String) async throws {
    let shard = try await ScriptedShard(pushed(delivery: .open))
    let reader = try await shard.reader(after: checkpoint)
    #expect(try shard.starts == [start])
    if checkpoint == .latest {
      #expect(Timestamp(iso8601: "2026-06-01T12:00:00Z").map(Checkpoint.atTimestamp) == reader.origin)
    } else {
      #expect(reader.origin == checkpoint)
    }
  }

  @Test(
    "readers register the application where it is not, and wait until its consumer is active, once for all shards"
  )
  func registration() async throws {
    let shard = try await ScriptedShard(
      pushed(event(1), delivery: .open),
      consumer: [notFound, described("CREATING"), described("CREATING"), described("ACTIVE")]
    )
    let source = try shard.source()
    for _ in 0..<3 {
      let reader = try await source.reader(of: "shardId-000000000000", after: .trimHorizon)
      #expect(try await reader.numbers() == [1])
    }
    #expect(shard.count(of: "RegisterStreamConsumer") == 1)
    #expect(shard.count(of: "DescribeStreamConsumer") == 4)
    #expect(shard.machine.clock.pauses == [.seconds(1), .seconds(1)])
  }

  @Test(
    "readers subscribe again when a subscription ends: at the last record while there is more, else after the tip"
  )
  func renewal() async throws {
    let shard = try await ScriptedShard(
      pushed(event(1, 2, behind: 9)),
      pushed(event(2, 3), event(continuation: 5)),
      pushed(event(6), delivery: .open)
    )
    let reader = try await shard.reader()
    #expect(try await reader.numbers() == [1, 2])
    #expect(try await reader.numbers().isEmpty)
    #expect(try await reader.numbers() == [3])
    #expect(try await reader.numbers().isEmpty)
    #expect(try await reader.numbers().isEmpty)
    #expect(try await reader.numbers() == [6])
    #expect(
      try shard.starts == ["TRIM_HORIZON", "AT_SEQUENCE_NUMBER 2", "AFTER_SEQUENCE_NUMBER 5"]
    )
    // Within 5 s the service would refuse another one.
    #expect(shard.machine.clock.pauses == [.seconds(5), .seconds(5)])
  }

  @Test("readers renew a subscription before its five minutes are over, without a pause")
  func lifetime() async throws {
    let shard = try await ScriptedShard(
      pushed(event(1), event(2), delivery: .open),
      pushed(event(2), delivery: .open)
    )
    let reader = try await shard.reader()
    #expect(try await reader.numbers() == [1])
    shard.machine.clock.advance(by: .seconds(290))
    #expect(try await reader.numbers() == [2])
    #expect(try shard.starts == ["TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER 1"])
    #expect(shard.machine.clock.pauses.isEmpty)
  }

  @Test(
    "readers go on at the last record, which shows whether others were trimmed, after a processor took very long"
  )
  func slow() async throws {
    let shard = try await ScriptedShard(pushed(event(1)), pushed(event(9), delivery: .open))
    let reader = try await shard.reader()
    #expect(try await reader.numbers() == [1])
    #expect(try await reader.numbers().isEmpty)
    shard.machine.clock.advance(by: .seconds(90_000))
    for _ in 0..<2 {
      let error = try await #require(throws: TidemarkError.self) { try await reader.numbers() }
      #expect(error.code == .recordsTrimmed && error.message.contains("record 1 "))
    }
    #expect(try shard.starts[1...] == ["AT_SEQUENCE_NUMBER 1", "AT_SEQUENCE_NUMBER 1"])
  }

  @Test("ask for LATEST only once")
  func latest() async throws {
    let shard = try await ScriptedShard(pushed(), pushed(event(3), delivery: .open))
    let reader = try await shard.reader(after: .latest)
    #expect(try await reader.numbers().isEmpty)
    #expect(try await reader.numbers() == [3])
    let opening = try #require(Timestamp(iso8601: "2026-06-01T12:00:00Z"))
    #expect(try shard.starts == ["LATEST", "AT_TIMESTAMP \(opening.microsecondsSinceEpoch / 1_000_000)"])
  }

  @Test("readers tell both parents of the shards that follow, with the last records")
  func end() async throws {
    let children = #"[{"ShardId":"c","ParentShards":["shardId-000000000000","b"]}]"#
    let shard = try await ScriptedShard(pushed(event(5), event(children: children)))
    let reader = try await shard.reader()
    #expect(try await reader.numbers() == [5])
    let page = try await reader.nextPage(maximumRecords: 10)
    #expect(page.end?.children == [Shard(id: "c", parentIDs: ["shardId-000000000000", "b"])])
  }

  @Test("readers wait for the subscription of an owner that has gone")
  func takeover() async throws {
    let refusal = Reply.failing("ResourceInUseException", message: "Another active subscription exists.")
    let shard = try await ScriptedShard(refusal, refusal, refusal, pushed(event(1), delivery: .open))
    #expect(try await shard.reader().numbers() == [1])
    #expect(shard.machine.clock.pauses == [.seconds(1), .seconds(1), .seconds(1)])
  }

  @Test("readers say so when another application has their consumer")
  func stolen() async throws {
    let refusal = Reply.failing("ResourceInUseException", message: "Another active subscription exists.")
    let shard = try await ScriptedShard(refusal)
    let error = try await #require(throws: TidemarkError.self) { try await shard.reader() }
    #expect(error.code == .throttled && error.advice?.contains("consumer name") == true)
    #expect(shard.machine.clock.pauses.count == 7)
  }

  @Test(
    "readers say what a subscription was ended with, and lose nothing",
    arguments: [
      (exception("ResourceInUseException"), TidemarkError.Code.throttled),
      (exception("KMSAccessDeniedException"), .accessDenied),
      (exception("KMSThrottlingException"), .throttled),
      (exception("InternalFailureException"), .sourceUnavailable),
      (
        eventStreamFrame(
          [":message-type": "error", ":error-code": "InternalError", ":error-message": "Oh."],
          ""
        ), .sourceUnavailable
      ), (Array("HTTP/1.1 500 and more".utf8), .sourceUnavailable),
      (event(2).map { $0 == UInt8(ascii: "R") ? 0 : $0 }, .sourceUnavailable),
      (Array(event(2).dropLast(9)), .sourceUnavailable),
    ]
  )
  func ended(frame: [UInt8], code: TidemarkError.Code) async throws {
    let shard = try await ScriptedShard(
      pushed(event(1, behind: 5), frame),
      pushed(event(1, 2), delivery: .open)
    )
    let reader = try await shard.reader()
    #expect(try await reader.numbers() == [1])
    let error = try await #require(throws: TidemarkError.self) { try await reader.numbers() }
    #expect(error.code == code)
    #expect(try await reader.numbers() == [2])
  }

  @Test(
    "readers lose nothing when the connection does not last",
    arguments: [Reply.Delivery.cut, .reset, .stall]
  )
  func connection(delivery: Reply.Delivery) async throws {
    let shard = try await ScriptedShard(
      pushed(event(1), delivery: delivery),
      pushed(event(1), delivery: .open)
    )
    let reader = try await shard.reader(timeout: .seconds(1))
    let error = try await #require(throws: TidemarkError.self) { try await reader.numbers() }
    #expect(error.code == .sourceUnavailable)
    #expect(try await reader.numbers() == [1])
  }

  @Test("readers notice that their consumer was deregistered, and register it again")
  func deregistered() async throws {
    let shard = try await ScriptedShard(
      notFound,
      pushed(event(1), delivery: .open),
      consumer: [described("ACTIVE"), notFound, notFound, described("ACTIVE")]
    )
    let source = try shard.source()
    let error = try await #require(throws: TidemarkError.self) {
      try await source.reader(of: "shardId-000000000000", after: .trimHorizon)
    }
    #expect(error.code == .sourceUnavailable && error.message.contains("consumer billing"))
    let reader = try await source.reader(of: "shardId-000000000000", after: .trimHorizon)
    #expect(try await reader.numbers() == [1])
    #expect(shard.count(of: "RegisterStreamConsumer") == 1)
  }

  @Test("readers say that a shard is missing when it is")
  func missing() async throws {
    let refusal = Reply.failing("ResourceNotFoundException", message: "Shard shardId-000000000000 not found.")
    let shard = try await ScriptedShard(refusal)
    let error = try await #require(throws: TidemarkError.self) { try await shard.reader() }
    #expect(error.code == .shardNotFound)
  }

  @Test("readers take no more from the service than they are asked for")
  func backPressure() async throws {
    let pushedEvents = Reply.Pushed()
    let large = event(1, 2, 3) + event(4, 5, 6, continuation: 6)
    let shard = try await ScriptedShard(
      Reply(
        bytes: (0..<500).flatMap { _ in large },
        headers: ["Date": "Mon, 01 Jun 2026 12:00:00 GMT"],
        delivery: .endless(pushedEvents)
      )
    )
    let reader = try await shard.reader()
    #expect(try await reader.numbers() == [1, 2, 3])
    try await eventually("nobody takes more") { pushedEvents.state.withLock { $0.isBlocked } }
    let before = pushedEvents.state.withLock { $0.count }
    while pushedEvents.state.withLock({ $0.count }) == before { _ = try await reader.numbers() }
  }

  @Test("readers are not made for a consumer without a name")
  func name() throws {
    for retrieval in [
      KinesisRetrieval.fanOut(consumerName: ""), .fanOut(consumerName: "a b"),
      .polling(interval: .milliseconds(199)),
    ] {
      let error = #expect(throws: TidemarkError.self) { try KinesisSource("orders", retrieval: retrieval) }
      #expect(error?.code == .invalidConfiguration)
    }
  }
}
#endif
