#if AWS
import NIOCore
import Tidemark

/// Finds the messages in the bytes of an `application/vnd.amazon.eventstream` answer, however these are cut.
///
/// A message is a prelude (its length, that of its headers, their CRC-32), headers, payload, and a CRC-32 of all that:
/// https://smithy.io/2.0/aws/amazon-eventstream.html. Where one is wrong nothing after it can be found, so the same
/// error comes from then on, and the connection is of no more use.
package struct EventStreamDecoder: Sendable {
  /// In bytes, as the format has it.
  static let maximumHeaders = 128 << 10
  static let maximumPayload = 24 << 20

  private static let preludeSize = 12
  private static let checksumSize = 4

  private struct Prelude {
    var total: Int
    var headers: Int
    var payload: Int
  }

  private var buffer = ByteBuffer()

  package init() {}

  /// Whether all bytes were parts of whole messages, so that the answer may end here.
  package var isBetweenMessages: Bool { buffer.readableBytes == 0 }

  package mutating func append(_ bytes: ByteBuffer) {
    if isBetweenMessages {
      buffer = bytes
    } else {
      buffer.discardReadBytes()
      var bytes = bytes
      buffer.writeBuffer(&bytes)
    }
  }

  /// - Returns: `nil` until the next message is there to its end.
  /// - Throws: `TidemarkError` (`sourceUnavailable`).
  package mutating func next() throws -> EventStreamMessage? {
    guard let prelude = try prelude(), buffer.readableBytes >= prelude.total else { return nil }
    var rest = buffer
    guard var message = rest.readSlice(length: prelude.total) else { return nil }
    try verify(message, "message", at: prelude.total - Self.checksumSize)
    message.moveReaderIndex(forwardBy: Self.preludeSize)
    guard let headerBytes = message.readSlice(length: prelude.headers),
      let headers = EventStreamMessage.headers(in: headerBytes),
      let payload = message.readSlice(length: prelude.payload)
    else { throw Self.failure("a message has unreadable headers.") }
    buffer = rest
    return EventStreamMessage(headers: headers, payload: payload)
  }

  /// Verified before anything is made of its lengths: the decoder would wait in vain for a wrong one.
  private func prelude() throws -> Prelude? {
    let start = buffer.readerIndex
    guard buffer.readableBytes >= Self.preludeSize,
      let total = buffer.getInteger(at: start, as: UInt32.self).map(Int.init),
      let headers = buffer.getInteger(at: start + 4, as: UInt32.self).map(Int.init)
    else { return nil }
    try verify(buffer, "prelude", at: Self.preludeSize - Self.checksumSize)
    let payload = total - headers - Self.preludeSize - Self.checksumSize
    guard headers <= Self.maximumHeaders, (0...Self.maximumPayload).contains(payload) else {
      throw Self.failure("a message of \(total) bytes with \(headers) of headers is none.")
    }
    return Prelude(total: total, headers: headers, payload: payload)
  }

  /// The checksum comes after what it is of.
  private func verify(_ bytes: ByteBuffer, _ part: String, at offset: Int) throws {
    let actual = CRC32.checksum(bytes.readableBytesView.prefix(offset))
    let expected = bytes.getInteger(at: bytes.readerIndex + offset, as: UInt32.self)
    guard expected == actual else {
      throw Self.failure("the CRC of a \(part) is \(actual), not \(expected ?? 0) as it says.")
    }
  }

  private static func failure(_ what: String) -> TidemarkError {
    TidemarkError(
      .sourceUnavailable,
      "Cannot read the event stream: \(what)",
      advice: "If it happens again, look at what is between this machine and the service."
    )
  }
}
#endif
