#if AWS
/// Reads the fields of a Protocol Buffers message one after the other, without knowing its type.
///
/// Written from the encoding's specification, https://protobuf.dev/programming-guides/encoding.
struct ProtobufReader {
  struct Malformed: Error {}

  enum Value: Equatable {
    case varint(UInt64)
    /// A string, bytes or a message: where it is in the buffer.
    case bytes(Range<Int>)
    /// A number of fixed width, which nothing here has.
    case fixed
  }

  struct Field: Equatable {
    var number: UInt64
    var value: Value
  }

  private let buffer: UnsafeRawBufferPointer
  private var position: Int
  private let end: Int

  /// - Parameter range: where the message is in `buffer`.
  init(_ buffer: UnsafeRawBufferPointer, in range: Range<Int>) {
    self.buffer = buffer
    position = range.lowerBound
    end = range.upperBound
  }

  /// - Returns: `nil` at the message's end.
  mutating func next() throws(Malformed) -> Field? {
    if position == end { return nil }
    let tag = try varint()
    // Fields have 29 bits. Groups, types 3 and 4, were given up before any of the messages that are read here was made.
    guard tag >> 3 > 0, tag >> 3 < 1 << 29 else { throw Malformed() }
    return Field(number: tag >> 3, value: try value(ofType: tag & 7))
  }

  private mutating func value(ofType type: UInt64) throws(Malformed) -> Value {
    switch type {
    case 0: return .varint(try varint())
    case 1: _ = try take(8)
    case 2: return .bytes(try take(varint()))
    case 5: _ = try take(4)
    default: throw Malformed()
    }
    return .fixed
  }

  private mutating func take(_ count: UInt64) throws(Malformed) -> Range<Int> {
    guard count <= UInt64(end - position) else { throw Malformed() }
    let start = position
    position += Int(count)
    return start..<position
  }

  private mutating func varint() throws(Malformed) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end, shift < 64 {
      let byte = UInt64(buffer[position])
      position += 1
      value |= (byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw Malformed()
  }
}
#endif
