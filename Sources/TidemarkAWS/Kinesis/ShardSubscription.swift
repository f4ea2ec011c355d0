#if AWS
import AWSRequests
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Tidemark

/// The answer to one `SubscribeToShard`, read only as far as events are asked for: what the service sends beyond that
/// waits on its side.
actor ShardSubscription {
  private static let operation = "SubscribeToShard"

  /// When the service began it, cut off to the second; `nil` if it does not say.
  let date: Timestamp?
  private let requestID: String?
  private let origin: String
  /// An idle shard has an event every few seconds, too.
  private let timeout: Duration
  private var chunks: HTTPClientResponse.Body.AsyncIterator
  private var decoder = EventStreamDecoder()

  init(_ response: HTTPClientResponse, timeout: Duration) {
    date = response.headers.first(name: "Date").flatMap(Timestamp.init(httpDate:))
    requestID = response.headers.first(name: "x-amzn-RequestId")
    origin = response.url.map { "\($0)" } ?? "Kinesis"
    self.timeout = timeout
    chunks = response.body.makeAsyncIterator()
  }

  /// The next event with records or without; `nil` at the end.
  ///
  /// - Throws: `TidemarkError`, `CancellationError`. After that there is nothing more to be had.
  func next() async throws -> AWSResponse? {
    while let message = try await message() {
      switch (message[":message-type"], message[":event-type"]) {
      case ("event", "SubscribeToShardEvent"):
        return AWSResponse(body: message.payload, requestID: requestID, operation: Self.operation)
      // Such as `initial-response`, or what later versions of the service may tell.
      case ("event", _): continue
      default: throw failure(message)
      }
    }
    return nil
  }

  private func message() async throws -> EventStreamMessage? {
    while true {
      if let message = try decoder.next() { return message }
      guard let bytes = try await chunk() else {
        if decoder.isBetweenMessages { return nil }
        throw TidemarkError(.sourceUnavailable, "A subscription ended in the middle of an event.")
      }
      decoder.append(bytes)
    }
  }

  private func chunk() async throws -> ByteBuffer? {
    do {
      return try await HTTPTransport.within(timeout) { try await self.nextChunk() }
    } catch let failure as HTTPFailure {
      throw AWSFailure(failure, asking: Self.operation, at: origin).error
    }
  }

  private func nextChunk() async throws -> ByteBuffer? {
    var chunks = chunks
    defer { self.chunks = chunks }
    return try await chunks.next(isolation: self)
  }

  /// What the service says instead of an event: one of the operation's exceptions, or an error of its own.
  private func failure(_ message: EventStreamMessage) -> TidemarkError {
    struct Body: Decodable {
      var message: String?
      var Message: String?
    }
    let body = try? JSONDecoder().decode(Body.self, from: Data(message.payload.readableBytesView))
    let error = AWSError(
      code: message[":exception-type"] ?? message[":error-code"] ?? "",
      message: message[":error-message"] ?? body?.message ?? body?.Message ?? "",
      status: 200,
      requestID: requestID
    )
    let kind = AWSErrorKind(code: error.code, status: error.status, skew: nil)
    let meaning = AWSErrorMeaning.ofStreams(error.code, Self.operation)
    return AWSFailure(error, kind: kind, of: Self.operation, meaning: meaning).error
  }
}
#endif
