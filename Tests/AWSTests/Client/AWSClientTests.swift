#if AWS
import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("The AWS client", .sharesMachine)
struct AWSClientTests {
  private let machine = TestMachine()

  private func list(_ client: AWSClient) async throws -> AWSResponse {
    try await client.send("ListStreams", to: .dynamoDBStreams, ["TableName": "orders"])
  }

  private func failure(
    _ client: AWSClient,
    _ operation: String = "ListStreams"
  ) async throws -> TidemarkError {
    try await #require(throws: TidemarkError.self) {
      try await client.send(operation, to: .dynamoDBStreams)
    }
  }

  @Test("the client sends a signed JSON request and keeps what came back")
  func request() async throws {
    let server = try await LoopbackServer.replying(
      .json(#"{"Streams":[]}"#, headers: ["x-amzn-RequestId": "R1"])
    )
    let response = try await list(machine.client(of: server))
    #expect(String(buffer: response.body) == #"{"Streams":[]}"#)
    #expect(response.requestID == "R1")
    let request = try #require(server.requests.first)
    #expect(request.method == "POST" && request.uri == "/" && request.body == #"{"TableName":"orders"}"#)
    #expect(request.headers["X-Amz-Target"] == ["DynamoDBStreams_20120810.ListStreams"])
    #expect(request.headers["Content-Type"] == ["application/x-amz-json-1.0"])
    #expect(request.headers["X-Amz-Date"] == ["20260601T120000Z"])
    #expect(request.headers["Authorization"].first?.contains("/eu-central-1/dynamodb/aws4_request") == true)
  }

  @Test("the client uses one connection for requests that follow each other")
  func reuse() async throws {
    let server = try await LoopbackServer.replying(.json("{}"))
    let client = try machine.client(of: server)
    for _ in 0..<5 { _ = try await list(client) }
    #expect(server.requests.count == 5)
    #expect(server.connections == 1)
  }

  @Test("the client survives a storm of errors, and pauses longer for throttling than for failures")
  func storm() async throws {
    let server = try await LoopbackServer.replying(
      .failing("InternalServerError", status: 500),
      .error(503, "<html>Service Unavailable</html>"),
      .failing("ProvisionedThroughputExceededException"),
      .error(502, ""),
      .failing("LimitExceededException"),
      .error(429, "{}"),
      .json("{}")
    )
    _ = try await list(machine.client(of: server))
    #expect(server.requests.count == 7)
    #expect(machine.clock.pauses.count == 6)
    let bounds: [Duration] = [50, 100, 2000, 400, 8000, 16_000].map { .milliseconds($0) }
    for (pause, bound) in zip(machine.clock.pauses, bounds) { #expect(pause <= bound) }
  }

  @Test("the client gives up after the attempts that the policy allows, with the service's own words")
  func attempts() async throws {
    let server = try await LoopbackServer.replying(.failing("ThrottlingException", message: "Rate exceeded"))
    let client = try machine.client(of: server) { $0.retry.maximumAttempts = 3 }
    let error = try await failure(client)
    #expect(error.code == .throttled && error.isRetryable)
    #expect(
      error.message == "ListStreams was answered with ThrottlingException: Rate exceeded (after 3 attempts)"
    )
    #expect(server.requests.count == 3)
  }

  @Test("the client begins no attempt after the time that the policy allows")
  func timeLimit() async throws {
    let server = try await LoopbackServer.replying(.error(500, ""))
    let client = try machine.client(of: server) {
      $0.retry.maximumAttempts = 1000
      $0.retry.timeLimit = .seconds(10)
    }
    #expect(try await failure(client).code == .sourceUnavailable)
    #expect(machine.clock.pauses.reduce(.zero, +) < .seconds(10))
    #expect(server.requests.count < 1000)
  }

  @Test(
    "the client reads again what did not arrive whole",
    arguments: [
      Reply(body: #"{"Streams":[1,2,3,4,5]}"#, delivery: .reset),
      Reply(body: #"{"Streams":[1,2,3,4,5]}"#, delivery: .cut),
      Reply(body: #"{"Streams":[1,2,"#), Reply(body: ""), Reply(body: "<html><h1>Welcome</h1></html>"),
      Reply(headers: ["x-amz-crc32": "1"], body: "{}"),
    ]
  )
  func broken(reply: Reply) async throws {
    let server = try await LoopbackServer.replying(reply, reply, .json(#"{"Streams":[]}"#))
    let response = try await list(machine.client(of: server))
    #expect(String(buffer: response.body) == #"{"Streams":[]}"#)
    #expect(server.requests.count == 3)
  }

  @Test(
    "the client says what was wrong with an answer that never gets better",
    arguments: [
      (Reply(body: ""), "it is empty"),
      (Reply(body: "<p>Log in"), "it is no JSON object but begins with '<p>Log in'"),
      (Reply(body: "{\"a\":"), "it ends in the middle"),
      (Reply(headers: ["x-amz-crc32": "7"], body: "{}"), "its checksum is 2745614147, not 7"),
      (Reply(body: "{\"a\": \"b\"}", delivery: .reset), "got no answer from http://127.0.0.1"),
    ]
  )
  func brokenForEver(reply: Reply, message: String) async throws {
    let server = try await LoopbackServer.replying(reply)
    let error = try await failure(machine.client(of: server) { $0.retry.maximumAttempts = 2 })
    #expect(error.code == .sourceUnavailable && error.isRetryable)
    #expect(error.message.contains(message), "\(error)")
  }

  @Test("the client takes an answer whose checksum is right")
  func checksum() async throws {
    let server = try await LoopbackServer.replying(.json("{}", headers: ["x-amz-crc32": "2745614147"]))
    _ = try await list(machine.client(of: server))
    #expect(server.requests.count == 1)
  }

  @Test(
    "the client waits no longer than the timeout, for the head and for the body",
    arguments: [Reply.Delivery.silence, .stall]
  )
  func slow(delivery: Reply.Delivery) async throws {
    let server = try await LoopbackServer.replying(Reply(body: #"{"a": "b"}"#, delivery: delivery))
    let client = try machine.client(of: server) {
      $0.timeout = .seconds(1)
      $0.retry.maximumAttempts = 2
    }
    #expect(try await failure(client).code == .sourceUnavailable)
    #expect(server.requests.count == 2)
  }

  @Test("nobody listening is a source that is not available")
  func nobody() async throws {
    let server = try await LoopbackServer.replying(.json("{}"))
    try await server.stop()
    let error = try await failure(machine.client(of: server) { $0.retry.maximumAttempts = 2 })
    #expect(error.code == .sourceUnavailable && error.advice?.contains("reach") == true)
    #expect(machine.clock.pauses.count == 1)
  }

  @Test("the client corrects a clock that is ten minutes off once, and keeps the correction")
  func skew() async throws {
    let server = try await LoopbackServer { request in
      if request.headers["X-Amz-Date"] == ["20260601T120000Z"] {
        return .error(
          400,
          #"{"__type":"com.amazon.coral.service#InvalidSignatureException"}"#,
          headers: ["Date": "Mon, 01 Jun 2026 12:10:00 GMT"]
        )
      }
      return .json("{}", headers: ["Date": "Mon, 01 Jun 2026 12:10:00 GMT"])
    }
    let client = try machine.client(of: server)
    _ = try await list(client)
    _ = try await list(client)
    #expect(
      server.requests.map { $0.headers["X-Amz-Date"].first } == [
        "20260601T120000Z", "20260601T121000Z", "20260601T121000Z",
      ]
    )
  }

  @Test("a wrong signature at the right time is not tried again")
  func wrongSignature() async throws {
    let body = #"{"__type":"com.amazon.coral.service#InvalidSignatureException"}"#
    let server = try await LoopbackServer.replying(
      .error(400, body, headers: ["Date": "Mon, 01 Jun 2026 12:00:20 GMT"])
    )
    #expect(try await failure(machine.client(of: server)).code == .accessDenied)
    #expect(server.requests.count == 1)
  }

  @Test("a clock that the server complains about twice is not corrected for ever")
  func skewTwice() async throws {
    let server = try await LoopbackServer.replying(
      .error(403, #"{"__type":"RequestTimeTooSkewed"}"#, headers: ["Date": "Mon, 01 Jun 2026 13:00:00 GMT"])
    )
    let error = try await failure(machine.client(of: server))
    #expect(error.code == .accessDenied)
    #expect(server.requests.count == 2)
  }

  @Test("the client fetches other credentials once when a service calls them expired")
  func expired() async throws {
    let server = try await LoopbackServer { request in
      let isOld = request.headers["Authorization"].first?.contains("Credential=OLD/") == true
      return isOld ? .failing("ExpiredTokenException") : .json("{}")
    }
    let provider = ScriptedProvider { key($0 == 1 ? "OLD" : "NEW") }
    let client = try machine.client(of: server) { $0.credentials.provider = provider }
    async let first = list(client)
    async let second = list(client)
    _ = try await (first, second)
    #expect(provider.calls.withLock { $0 } == 2)
    #expect(machine.clock.pauses.isEmpty)
  }

  @Test("credentials that stay expired end the request")
  func expiredForEver() async throws {
    let server = try await LoopbackServer.replying(.failing("ExpiredTokenException"))
    #expect(try await failure(machine.client(of: server)).code == .accessDenied)
    #expect(server.requests.count == 2)
  }

  @Test(
    "the client tells errors apart, and keeps what the service said beneath",
    arguments: [
      ("GetRecords", "ExpiredIteratorException", TidemarkError.Code.iteratorExpired),
      ("GetRecords", "TrimmedDataAccessException", .recordsTrimmed),
      ("GetRecords", "ResourceNotFoundException", .shardNotFound),
      ("GetShardIterator", "ResourceNotFoundException", .shardNotFound),
      ("DescribeStream", "ResourceNotFoundException", .streamNotFound),
      ("GetRecords", "ValidationException", .unsupported),
      ("Nonsense", "UnknownOperationException", .unsupported),
      ("GetRecords", "SerializationException", .unsupported),
      ("GetRecords", "AccessDeniedException", .accessDenied),
      ("GetRecords", "UnrecognizedClientException", .accessDenied),
      ("GetRecords", "MissingAuthenticationToken", .accessDenied),
    ]
  )
  func codes(operation: String, type: String, code: TidemarkError.Code) async throws {
    let server = try await LoopbackServer.replying(
      .error(
        400,
        #"{"__type":"com.amazonaws.x#\#(type):http://docs","Message":"Why."}"#,
        headers: ["x-amzn-RequestId": "R7"]
      )
    )
    let error = try await failure(machine.client(of: server), operation)
    #expect(error.code == code)
    let expected = AWSError(code: type, message: "Why.", status: 400, requestID: "R7")
    #expect(error.underlying as? AWSError == expected)
    #expect("\(error)".contains("R7") && "\(error)".contains("Why."))
    #expect(server.requests.count == 1)
  }

  @Test("the client finds the kind of an error in the header when the body has none")
  func header() async throws {
    let headers: HTTPHeaders = ["x-amzn-errortype": "ResourceNotFoundException:http://x/"]
    let server = try await LoopbackServer.replying(.error(400, "", headers: headers))
    #expect(try await failure(machine.client(of: server)).code == .streamNotFound)
  }

  @Test("an answer that cannot be decoded is a source that is not available")
  func undecodable() async throws {
    let server = try await LoopbackServer.replying(.json(#"{"a": nonsense}"#))
    let response = try await list(machine.client(of: server))
    let error = try #require(throws: TidemarkError.self) { try response.decoded(as: [String: String].self) }
    #expect(error.code == .sourceUnavailable && error.message.contains("ListStreams"))
  }

  @Test("the client opens a stream, and tries again until there is one")
  func stream() async throws {
    let server = try await LoopbackServer.replying(.error(500, ""), .json("a whole stream"))
    let response = try await machine.client(of: server).open("SubscribeToShard", to: .kinesis, ["A": "B"])
    #expect(String(buffer: try await response.body.collect(upTo: 1000)) == "a whole stream")
    #expect(server.requests.count == 2)
  }

  @Test("a cancelled caller does not try again")
  func cancellation() async throws {
    let server = try await LoopbackServer.replying(Reply(delivery: .silence))
    let client = try machine.client(of: server)
    let task = Task { try await list(client) }
    try await eventually("the request has arrived") { server.requests.count == 1 }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(server.requests.count == 1)
  }
}
#endif
