#if AWS
import NIOCore
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("The decoder of event streams", .sharesMachine)
struct EventStreamDecoderTests {
  /// Encoded by ministack 1.5.33 and, the last, by hand; all read back with `EventStreamBuffer` of botocore 1.43.106.
  private static let frames = [
    """
    0000007200000060ab820d9e0d3a6d6573736167652d747970650700056576656e740b3a6576656e742d74797065070010696e697469616c2d\
    726573706f6e73650d3a636f6e74656e742d7479706507001a6170706c69636174696f6e2f782d616d7a2d6a736f6e2d312e317b7de16e66e4
    """,
    "000000100000000005c248eb7d98c8ff",
    """
    000000740000005b95c9111a01740001660102693802fe0369313603ff000369333204800000010369363405fffffffffffffffb01620600\
    0300010201730700076772c3b6c39f65027473080000018bcfe5687b017509000102030405060708090a0b0c0d0e0f007061796c6f6164ff\
    7791bc83
    """,
  ].map(bytes)

  private static let messages = [
    EventStreamMessage(
      headers: [
        ":message-type": .string("event"), ":event-type": .string("initial-response"),
        ":content-type": .string("application/x-amz-json-1.1"),
      ],
      payload: ByteBuffer(string: "{}")
    ),
    EventStreamMessage(),
    EventStreamMessage(
      headers: [
        "t": .bool(true), "f": .bool(false), "i8": .byte(-2), "i16": .short(-256),
        "i32": .integer(-2_147_483_647),
        "i64": .long(-5), "b": .bytes([0, 1, 2]), "s": .string("größe"), "ts": .timestamp(1_700_000_000_123),
        "u": .uuid(Array(0..<16)),
      ],
      payload: ByteBuffer(bytes: [0] + Array("payload".utf8) + [0xFF])
    ),
  ]

  private static func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }

  private func decoded(_ pieces: [[UInt8]]) throws -> [EventStreamMessage] {
    var decoder = EventStreamDecoder()
    var messages: [EventStreamMessage] = []
    for piece in pieces {
      decoder.append(ByteBuffer(bytes: piece))
      while let message = try decoder.next() { messages.append(message) }
    }
    #expect(decoder.isBetweenMessages)
    return messages
  }

  @Test("the decoder reads what others encoded, with headers of all types")
  func vectors() throws {
    for (frame, message) in zip(Self.frames, Self.messages) {
      #expect(try decoded([frame]) == [message])
    }
    #expect(Self.messages[0][":event-type"] == "initial-response")
    #expect(Self.messages[2]["t"] == nil && Self.messages[2]["x"] == nil)
  }

  @Test("the decoder finds the same messages however the bytes are cut")
  func cuts() throws {
    let all = Self.frames.joined()
    for size in [1, 2, 3, 7, 12, 16, 100, all.count] {
      let bytes = Array(all)
      let pieces = stride(from: 0, to: bytes.count, by: size).map {
        Array(bytes[$0..<min($0 + size, bytes.count)])
      }
      #expect(try decoded(pieces) == Self.messages)
    }
  }

  @Test("the decoder takes no message for whole that is not")
  func incomplete() throws {
    for frame in Self.frames {
      for count in 1..<frame.count {
        var decoder = EventStreamDecoder()
        decoder.append(ByteBuffer(bytes: frame[..<count]))
        #expect(try decoder.next() == nil)
        #expect(!decoder.isBetweenMessages)
      }
    }
  }

  @Test("the decoder refuses a message with any bit wrong, and then all that follows")
  func damage() throws {
    let frame = Self.frames[2]
    for bit in 0..<(frame.count * 8) {
      var damaged = frame
      damaged[bit / 8] ^= 1 << (bit % 8)
      var decoder = EventStreamDecoder()
      decoder.append(ByteBuffer(bytes: damaged))
      for _ in 0..<2 {
        let error = try #require(throws: TidemarkError.self) { try decoder.next() }
        #expect(error.code == .sourceUnavailable && error.message.contains("CRC"))
        decoder.append(ByteBuffer(bytes: frame))
      }
    }
  }

  @Test(
    "the decoder refuses headers that are none, and sizes beyond the format's, though the checksums are right",
    arguments: [
      // A type that there is not, a name of no length, a string longer than the headers, one name twice.
      eventStreamFrame(headers: [1, 97, 10], payload: []), eventStreamFrame(headers: [0, 0], payload: []),
      eventStreamFrame(headers: [1, 97, 7, 0, 9, 98], payload: []),
      eventStreamFrame(headers: [1, 97, 0, 1, 97, 1], payload: []),
      eventStreamFrame(headers: [1, 97], payload: [0]),
      eventStreamFrame(headers: Array(repeating: 0, count: (128 << 10) + 1), payload: []),
    ]
  )
  func refused(frame: [UInt8]) throws {
    var decoder = EventStreamDecoder()
    decoder.append(ByteBuffer(bytes: frame))
    let error = try #require(throws: TidemarkError.self) { try decoder.next() }
    #expect(error.code == .sourceUnavailable && !error.message.contains("CRC"))
  }

  @Test(
    "the decoder does not wait for a message that is larger than the format allows",
    arguments: [15, (24 << 20) + 17]
  )
  func sizes(total: Int) throws {
    var prelude = ByteBuffer()
    prelude.writeInteger(UInt32(total))
    prelude.writeInteger(UInt32(0))
    prelude.writeInteger(CRC32.checksum(prelude.readableBytesView))
    var decoder = EventStreamDecoder()
    decoder.append(prelude)
    let error = try #require(throws: TidemarkError.self) { try decoder.next() }
    #expect(error.message.contains("\(total) bytes"))
  }

  @Test("the decoder survives any bytes, and finds the messages before them")
  func fuzz() throws {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<5000 {
      var decoder = EventStreamDecoder()
      decoder.append(ByteBuffer(bytes: Self.frames[0]))
      let noise = (0..<Int.random(in: 12...64, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      decoder.append(ByteBuffer(bytes: noise))
      #expect(try decoder.next() == Self.messages[0])
      #expect(throws: TidemarkError.self) { try decoder.next() }
      let headers = Array(noise.prefix(12))
      var other = EventStreamDecoder()
      other.append(ByteBuffer(bytes: eventStreamFrame(headers: headers, payload: noise)))
      if let message = try? other.next() { #expect(Array(message.payload.readableBytesView) == noise) }
    }
  }
}
#endif
