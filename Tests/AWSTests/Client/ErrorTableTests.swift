#if AWS
import Foundation
import NIOHTTP1
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// Each error that the services may answer with, at each operation that a source asks for, and what it causes.
///
/// What `GetRecords` has of its own is in ``DynamoDBErrorTests`` and ``PollingShardReaderTests``.
@Suite("Errors of every operation", .sharesMachine)
struct ErrorTableTests {
  typealias Refusal = (error: String, status: Int)

  @Test(
    "the client waits out errors that pass",
    arguments: SourceCall.allWithStreams,
    [
      ("LimitExceededException", 400), ("ThrottlingException", 400),
      ("ProvisionedThroughputExceededException", 400), ("RequestLimitExceeded", 400), ("SlowDown", 503),
      ("KMSThrottlingException", 400), ("", 429), ("InternalServerError", 500), ("InternalFailure", 500),
      ("ServiceUnavailable", 503), ("", 500), ("", 502), ("", 503), ("", 504),
    ] as [Refusal]
  )
  func passing(call: SourceCall, refusal: Refusal) async throws {
    let ready = try await call.prepare { _ in }
    let before = ready.server.calls(call.operation)
    let reply = Self.reply(refusal)
    ready.faults.add(call.operation, reply, reply)
    #expect(try await ready.goOn())
    #expect(ready.machine.clock.pauses.count == 2)
    #expect(ready.server.calls(call.operation) >= before + 3)
  }

  @Test(
    "errors that trying again cannot mend are thrown at once, with the service's own words, and nothing is lost",
    arguments: SourceCall.allWithStreams,
    [
      ("ValidationException", 400), ("InvalidArgumentException", 400), ("SerializationException", 400),
      ("UnknownOperationException", 400), ("", 404), ("", 301), ("AccessDeniedException", 400),
      ("UnrecognizedClientException", 400), ("InvalidSignatureException", 403),
      ("MissingAuthenticationToken", 403), ("IncompleteSignature", 400), ("KMSAccessDeniedException", 400),
      ("", 403), ("ResourceNotFoundException", 400), ("TrimmedDataAccessException", 400),
    ] as [Refusal]
  )
  func lasting(call: SourceCall, refusal: Refusal) async throws {
    let ready = try await call.prepare { _ in }
    let before = ready.server.calls(call.operation)
    ready.faults.add(call.operation, Self.reply(refusal))
    let code = Self.code(of: refusal, at: call)
    // Endpoints that do not know the filter refuse it in many ways.
    if !(call.hasFallback && [.unsupported, .streamNotFound].contains(code)) {
      let error = try await #require(throws: TidemarkError.self) { try await ready.goOn() }
      #expect(error.code == code && !error.isRetryable)
      #expect(error.message.contains("\(call.operation) was answered with") && error.message.contains("Why."))
      #expect((error.underlying as? AWSError)?.code == refusal.error)
      #expect(ready.server.calls(call.operation) == before + 1)
    }
    #expect(try await ready.goOn())
    #expect(ready.machine.clock.pauses.isEmpty)
  }

  private static func reply(_ refusal: Refusal) -> Reply {
    if !refusal.error.isEmpty { return .failing(refusal.error, status: refusal.status, message: "Why.") }
    // As of something before the service.
    return .error(refusal.status, "<html>Why.")
  }

  private static func code(of refusal: Refusal, at call: SourceCall) -> TidemarkError.Code {
    switch refusal.error {
    case "ResourceNotFoundException": call.readsShard ? .shardNotFound : .streamNotFound
    case "TrimmedDataAccessException": .recordsTrimmed
    case "ValidationException", "InvalidArgumentException", "SerializationException",
      "UnknownOperationException":
      .unsupported
    default: refusal.status == 404 || refusal.status == 301 ? .unsupported : .accessDenied
    }
  }

  @Test(
    "errors that call credentials expired have others fetched, once",
    arguments: SourceCall.allWithStreams,
    ["ExpiredTokenException", "RequestExpired"]
  )
  func expired(call: SourceCall, error: String) async throws {
    let provider = ScriptedProvider { key("KEY\($0)") }
    let ready = try await call.prepare { $0.credentials.provider = provider }
    let reply = Reply.failing(error)
    ready.faults.add(call.operation, reply, reply)
    let thrown = try await #require(throws: TidemarkError.self) { try await ready.goOn() }
    #expect(thrown.code == .accessDenied && thrown.advice?.contains("Renew") == true)
    #expect(provider.calls.withLock { $0 } == 2)
    ready.faults.add(call.operation, reply)
    #expect(try await ready.goOn())
    #expect(provider.calls.withLock { $0 } == 3)
    #expect(ready.machine.clock.pauses.isEmpty)
  }

  @Test(
    "errors that leave no whole answer are read again",
    arguments: SourceCall.all,
    [
      Reply(body: #"{"Shards":[1,2,3,4,5]}"#, delivery: .reset),
      Reply(body: #"{"Shards":[1,2,3,4,5]}"#, delivery: .cut), Reply(body: #"{"Shards":[1,2,"#),
      Reply(body: ""),
      Reply(body: "<html><h1>Welcome</h1></html>"), Reply(headers: ["x-amz-crc32": "1"], body: "{}"),
    ]
  )
  func broken(call: SourceCall, reply: Reply) async throws {
    let ready = try await call.prepare { _ in }
    ready.faults.add(call.operation, reply, reply)
    #expect(try await ready.goOn())
    #expect(ready.machine.clock.pauses.count == 2)
  }

  @Test(
    "the client does not wait for an answer that falls silent, from the beginning or in the middle",
    arguments: SourceCall.all,
    [Reply.Delivery.silence, .stall]
  )
  func silent(call: SourceCall, delivery: Reply.Delivery) async throws {
    let ready = try await call.prepare { $0.timeout = .milliseconds(500) }
    ready.faults.add(call.operation, Reply(body: #"{"Shards":[1,2,3,4,5]}"#, delivery: delivery))
    #expect(try await ready.goOn())
    #expect(!ready.machine.clock.pauses.isEmpty)
  }

  @Test(
    "errors that are in the JSON alone are thrown as a source that is not available, and nothing is lost",
    arguments: SourceCall.all,
    ["{}", "{nonsense}", #"{"Shards":[1,2}"#, #"{"__type":"ThrottlingException"}"#]
  )
  func malformed(call: SourceCall, body: String) async throws {
    let ready = try await call.prepare { _ in }
    ready.faults.add(call.operation, .json(body))
    let error = try await #require(throws: TidemarkError.self) { try await ready.goOn() }
    #expect(error.code == .sourceUnavailable && error.isRetryable)
    #expect(error.message.hasPrefix("Cannot read the answer to \(call.operation)"))
    #expect(try await ready.goOn())
  }

  @Test(
    "errors of a clock that is ten minutes off are the last of it: what follows is signed with the server's time",
    arguments: SourceCall.allWithStreams,
    [
      ("InvalidSignatureException", "12:10:00"), ("RequestTimeTooSkewed", "12:10:00"),
      ("InvalidSignatureException", "11:50:00"),
    ]
  )
  func skewed(call: SourceCall, fault: (error: String, time: String)) async throws {
    let ready = try await call.prepare { _ in }
    let refused = Mutex(0)
    ready.faults.ask { request in
      let right = "20260601T\(fault.time.split(separator: ":").joined())Z"
      if request.headers["X-Amz-Date"] == [right] { return nil }
      refused.withLock { $0 += 1 }
      var reply = Reply.failing(fault.error, status: 403, message: "Signature expired")
      reply.headers.add(name: "Date", value: "Mon, 01 Jun 2026 \(fault.time) GMT")
      return reply
    }
    #expect(try await ready.goOn())
    #expect(refused.withLock { $0 } == 1)
    #expect(ready.machine.clock.pauses.isEmpty)
    #expect(ready.machine.log.withLock { $0 }.contains("clock is wrong"))
  }
}
#endif
