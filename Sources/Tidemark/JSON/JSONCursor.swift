/// Goes through the tokens of a JSON text, one after another. What they make up, its users say.
///
/// https://www.rfc-editor.org/rfc/rfc8259
package struct JSONCursor {
  /// What is wrong with the JSON, and where.
  package struct Failure: Error, CustomStringConvertible {
    package var reason: String
    package var offset: Int

    package init(reason: String, offset: Int) {
      self.reason = reason
      self.offset = offset
    }

    package var description: String { "\(reason) (byte \(offset))" }
  }

  /// As deep as arrays and objects may nest; Foundation's limit, too.
  package static let maximumDepth = 512

  @usableFromInline package let bytes: UnsafeRawBufferPointer
  @usableFromInline package var position: Int

  /// - Parameter bytes: have to stay where they are for as long as the cursor is used.
  package init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) {
    self.bytes = bytes
    self.position = position
  }

  package func failure(_ reason: String) -> Failure { Failure(reason: reason, offset: position) }

  // MARK: Bytes

  @inlinable package var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  /// Most writers make none, so that what is done before each token is one comparison.
  @inlinable package mutating func skipSpace() {
    if let byte = current, byte <= 0x20 { skipSpaces() }
  }

  @usableFromInline package mutating func skipSpaces() {
    while let byte = current, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      position += 1
    }
  }

  /// Skips white space and then this byte, if it is there.
  @inlinable package mutating func skip(_ byte: UInt8) -> Bool {
    skipSpace()
    guard current == byte else { return false }
    position += 1
    return true
  }

  // MARK: Tokens

  /// The string whose first quote is at ``position``, without its quotes.
  package mutating func string() throws(Failure) -> (range: Range<Int>, hasEscapes: Bool) {
    position += 1
    let start = position
    var hasEscapes = false
    while true {
      position = placeOfSpecialByte(from: position)
      switch current {
      case nil: throw failure("The document ends within a string.")
      case UInt8(ascii: "\""):
        position += 1
        return (start..<position - 1, hasEscapes)
      case UInt8(ascii: "\\"):
        hasEscapes = true
        position += 1
        try escape()
      default: throw failure("A string contains a control character without an escape.")
      }
    }
  }

  /// Eight bytes at a time: most strings are too short for a call to pay, and all together are most of a document.
  /// - Returns: the place of a quote, a backslash or a control character, or the end of the bytes.
  private func placeOfSpecialByte(from start: Int) -> Int {
    var position = start
    while position <= bytes.count - 8 {
      let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self).littleEndian
      let found =
        word.marks(of: UInt8(ascii: "\"")) | word.marks(of: UInt8(ascii: "\\")) | word.marks(below: 0x20)
      if found != 0 { return position + found.trailingZeroBitCount / 8 }
      position += 8
    }
    while position < bytes.count, bytes[position] >= 0x20, bytes[position] != UInt8(ascii: "\""),
      bytes[position] != UInt8(ascii: "\\")
    {
      position += 1
    }
    return position
  }

  private mutating func escape() throws(Failure) {
    switch current {
    case UInt8(ascii: "u"):
      for _ in 0..<4 {
        position += 1
        guard let digit = current, hexValue(digit) != nil else { throw failure("\\u needs four hex digits.") }
      }
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      break
    default: throw failure("There is no such escape.")
    }
    position += 1
  }

  /// Whether a number begins at ``position``.
  package var isAtNumber: Bool { current.map { $0 == UInt8(ascii: "-") || isDigit($0) } ?? false }

  package mutating func number() throws(Failure) -> Range<Int> {
    let start = position
    if current == UInt8(ascii: "-") { position += 1 }
    if current == UInt8(ascii: "0") { position += 1 } else { try digits() }
    if current == UInt8(ascii: ".") {
      position += 1
      try digits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      try digits()
    }
    return start..<position
  }

  private mutating func digits() throws(Failure) {
    let start = position
    while let byte = current, isDigit(byte) { position += 1 }
    if position == start { throw failure("A digit is missing here.") }
  }

  package mutating func word(_ text: StaticString) throws(Failure) {
    for index in 0..<text.utf8CodeUnitCount {
      guard current == text.utf8Start[index] else { throw failure("This should be \(text).") }
      position += 1
    }
  }
}

extension UInt64 {
  private static let ones: UInt64 = 0x0101_0101_0101_0101

  /// The highest bit of the lowest of its eight bytes that is this one; bits above that say nothing.
  fileprivate func marks(of byte: UInt8) -> UInt64 { (self ^ (Self.ones &* UInt64(byte))).marks(below: 1) }

  /// The highest bit of the lowest of its eight bytes that is less than this, which is 128 at most; bits above that say
  /// nothing.
  fileprivate func marks(below limit: UInt8) -> UInt64 {
    (self &- Self.ones &* UInt64(limit)) & ~self & (Self.ones &* 0x80)
  }
}

@inlinable
package func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0") <= byte && byte <= UInt8(ascii: "9") }

package func hexValue(_ digit: UInt8) -> UInt8? {
  switch digit {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
  default: nil
  }
}
