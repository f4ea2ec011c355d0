#if AWS
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// Each error that the service may answer with, and what it causes.
@Suite("Errors of DynamoDB Streams", .sharesMachine)
struct DynamoDBErrorTests {
  enum Action: Sendable, Equatable {
    /// The same call again, with pauses; nothing is noticed but the time.
    case retried
    /// A new iterator after the last record, at once.
    case renewed
    /// The caller gets it, and the request is not made again.
    case told(TidemarkError.Code)
  }

  private static let cases: [(error: String, status: Int, action: Action)] = [
    ("ExpiredIteratorException", 400, .renewed),
    ("TrimmedDataAccessException", 400, .told(.recordsTrimmed)),
    ("ResourceNotFoundException", 400, .told(.shardNotFound)),
    ("LimitExceededException", 400, .retried), ("ThrottlingException", 400, .retried),
    ("ProvisionedThroughputExceededException", 400, .retried), ("RequestLimitExceeded", 400, .retried),
    ("SlowDown", 503, .retried), ("InternalServerError", 500, .retried), ("", 502, .retried),
    ("", 503, .retried), ("", 504, .retried), ("ExpiredTokenException", 400, .told(.accessDenied)),
    ("ValidationException", 400, .told(.unsupported)), ("AccessDeniedException", 400, .told(.accessDenied)),
    ("UnrecognizedClientException", 400, .told(.accessDenied)),
    ("InvalidSignatureException", 400, .told(.accessDenied)),
    ("MissingAuthenticationToken", 400, .told(.accessDenied)),
    ("IncompleteSignature", 400, .told(.accessDenied)), ("SerializationException", 400, .told(.unsupported)),
    ("UnknownOperationException", 400, .told(.unsupported)),
  ]

  @Test("errors of a read cause what they ask for, and lose nothing", arguments: cases)
  func reading(error: String, status: Int, action: Action) async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<6)
    let reader = try await reading.source.reader(of: reading.shard().id, after: .trimHorizon)
    #expect(try await reader.values(3).values == [0, 1, 2])
    let reply = Reply.failing(error, status: status)
    // Credentials that are expired are fetched again once.
    let isExpired = error == "ExpiredTokenException"
    reading.fake.faults.add("GetRecords", reply)
    if isExpired { reading.fake.faults.add("GetRecords", reply) }
    if case .told(let code) = action {
      let thrown = try await #require(throws: TidemarkError.self) {
        try await reader.nextPage(maximumRecords: 3)
      }
      #expect(thrown.code == code && (thrown.underlying as? AWSError)?.code == error)
      #expect(reading.server.calls("GetRecords") == (isExpired ? 3 : 2))
    }
    // After an error the cursor stands where it stood.
    #expect(try await reader.values(3).values == [3, 4, 5])
    #expect(reading.server.calls("GetShardIterator") == (action == .renewed ? 2 : 1))
    #expect(reading.machine.clock.pauses.isEmpty == (action != .retried))
  }

  @Test(
    "errors that do not end are thrown in the end, and the cursor has kept its place",
    arguments: [
      ("LimitExceededException", TidemarkError.Code.throttled), ("ThrottlingException", .throttled),
      ("InternalServerError", .sourceUnavailable), ("ExpiredIteratorException", .iteratorExpired),
    ]
  )
  func endless(error: String, code: TidemarkError.Code) async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<2)
    let reader = try await reading.source.reader(of: reading.shard().id, after: .trimHorizon)
    let status = error == "InternalServerError" ? 500 : 400
    let reply = Reply.failing(error, status: status)
    reading.fake.faults.add("GetRecords", reply, reply, reply)
    let thrown = try await #require(throws: TidemarkError.self) {
      try await reader.nextPage(maximumRecords: 3)
    }
    #expect(thrown.code == code && thrown.isRetryable)
    // Only this one is about the readers of a shard; the others are about all that an account calls.
    #expect((thrown.advice?.contains("two readers") == true) == (error == "LimitExceededException"))
    #expect(try await reader.values(2).values == [0, 1])
  }

  @Test(
    "errors of the listing are thrown as what they are, and the next listing is whole",
    arguments: [
      ("ResourceNotFoundException", TidemarkError.Code.streamNotFound), ("ValidationException", .unsupported),
    ]
  )
  func listing(error: String, code: TidemarkError.Code) async throws {
    let reading = try await DynamoDBReading(
      name: "\(FakeDynamoDBStreams.table)/stream/2026-06-01T12:00:00.000"
    )
    reading.fake.faults.add("DescribeStream", .failing(error))
    let thrown = try await #require(throws: TidemarkError.self) { try await reading.source.shards() }
    #expect(thrown.code == code)
    #expect(try await reading.source.shards().count == 4)
  }

  @Test(
    "errors of the JSON leave the cursor where it was",
    arguments: [
      #"{"Records":[{"eventID":"x"}]}"#, #"{"Records":{}}"#, #"{"NextShardIterator":7}"#,
      #"{"Records":[{"eventID":"x","eventName":"TRUNCATE","dynamodb":{"Keys":{},"SequenceNumber":"1"}}]}"#,
      #"{"Records":[{"eventID":"x","eventName":"INSERT","dynamodb":{"Keys":{},"SequenceNumber":"1x"}}]}"#,
      #"{"Records":[}"#, "{}", #"{"__type":"InternalServerError"}"#,
    ]
  )
  func malformed(body: String) async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<2)
    let reader = try await reading.source.reader(of: reading.shard().id, after: .trimHorizon)
    reading.fake.faults.add("GetRecords", .json(body))
    let thrown = try await #require(throws: TidemarkError.self) {
      try await reader.nextPage(maximumRecords: 3)
    }
    #expect(thrown.code == .sourceUnavailable && thrown.message.contains("GetRecords"))
    #expect(try await reader.values(2).values == [0, 1])
  }

  @Test("errors of looking for children leave the last page to be read again")
  func children() async throws {
    let reading = try await DynamoDBReading(.init(recordsPerShard: 2))
    reading.put(0..<2)
    let shard = try await reading.shard().id
    let reader = try await reading.source.reader(of: shard, after: .trimHorizon)
    reading.fake.faults.add("DescribeStream", .failing("AccessDeniedException"))
    await #expect(throws: TidemarkError.self) { try await reader.nextPage(maximumRecords: 3) }
    let (values, end) = try await reader.values()
    #expect(values == [0, 1] && end?.children.map(\.parentIDs) == [[shard]])
  }
}
#endif
