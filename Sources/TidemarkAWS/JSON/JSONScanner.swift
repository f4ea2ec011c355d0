#if AWS
import Tidemark

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A cursor that goes once through JSON whose shape is known, and notes where things lie instead of building them.
///
/// Its caller says what comes next, and skips what is of no interest. It is for the answers that carry records, where
/// Foundation's decoder costs more than all the rest.
struct JSONScanner {
  /// What is wrong with the JSON, and where.
  struct Failure: Error, CustomStringConvertible {
    var reason: String
    var offset: Int

    var description: String { "\(reason) (byte \(offset))" }
  }

  /// A string where it lies, without its quotes.
  struct Text: Sendable, Equatable {
    var range: Range<Int>
    /// Whether the bytes are not yet the text.
    var hasEscapes: Bool
  }

  /// As deep as what is skipped may nest; Foundation's limit, too.
  private static let maximumDepth = 512

  private let bytes: UnsafeRawBufferPointer
  private(set) var position: Int
  /// Whether an object or array has just begun, so that no comma stands before what comes next.
  private var isAtStart = false

  /// - Parameter bytes: have to stay where they are for as long as the scanner is used.
  init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) {
    self.bytes = bytes
    self.position = position
  }

  // MARK: Objects and arrays

  mutating func enterObject() throws(Failure) { try enter(UInt8(ascii: "{"), "An object should begin here.") }

  mutating func enterArray() throws(Failure) { try enter(UInt8(ascii: "["), "An array should begin here.") }

  /// The key whose value comes next; `nil` once the object has ended.
  mutating func nextKey() throws(Failure) -> Text? {
    guard try goesOn(until: UInt8(ascii: "}")) else { return nil }
    let key = try string()
    skipSpace()
    guard current == UInt8(ascii: ":") else { throw failure("A colon is missing here.") }
    position += 1
    return key
  }

  /// Whether a value comes next; `false` once the array has ended.
  mutating func nextElement() throws(Failure) -> Bool { try goesOn(until: UInt8(ascii: "]")) }

  private mutating func enter(_ bracket: UInt8, _ reason: String) throws(Failure) {
    skipSpace()
    guard current == bracket else { throw failure(reason) }
    position += 1
    isAtStart = true
  }

  private mutating func goesOn(until bracket: UInt8) throws(Failure) -> Bool {
    skipSpace()
    let isFirst = isAtStart
    isAtStart = false
    if current == bracket {
      position += 1
      return false
    }
    if isFirst { return true }
    guard current == UInt8(ascii: ",") else { throw failure("A comma or an end is missing here.") }
    position += 1
    return true
  }

  // MARK: Values

  /// - Returns: whether the next value is null, and if so, goes past it. The services leave out what they do not have;
  ///   some that imitate them say null.
  mutating func takeNull() throws(Failure) -> Bool {
    skipSpace()
    guard current == UInt8(ascii: "n") else { return false }
    try word("null")
    return true
  }

  mutating func string() throws(Failure) -> Text {
    skipSpace()
    guard current == UInt8(ascii: "\"") else { throw failure("A string should begin here.") }
    position += 1
    let start = position
    position = placeOfQuoteOrBackslash(from: start)
    if current == UInt8(ascii: "\\") {
      return Text(range: start..<(try endOfEscapedString()), hasEscapes: true)
    }
    guard position < bytes.count else { throw Failure(reason: "The string has no end.", offset: start) }
    position += 1
    return Text(range: start..<position - 1, hasEscapes: false)
  }

  mutating func bool() throws(Failure) -> Bool {
    skipSpace()
    let isTrue = current == UInt8(ascii: "t")
    if isTrue { try word("true") } else { try word("false") }
    return isTrue
  }

  /// The number as it is written.
  mutating func number() throws(Failure) -> Range<Int> {
    skipSpace()
    let start = position
    if current == UInt8(ascii: "-") { position += 1 }
    try digits()
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

  /// A number without fraction and exponent.
  mutating func integer() throws(Failure) -> Int64 {
    let range = try number()
    guard let value = Int64(text(in: range)) else {
      throw Failure(reason: "A 64-bit integer should stand here.", offset: range.lowerBound)
    }
    return value
  }

  /// Goes past the next value, whatever it is.
  /// - Returns: where it lies.
  @discardableResult
  mutating func skip() throws(Failure) -> Range<Int> {
    skipSpace()
    let start = position
    try skip(depth: 0)
    return start..<position
  }

  private mutating func skip(depth: Int) throws(Failure) {
    skipSpace()
    if depth > Self.maximumDepth { throw failure("Values are nested more than \(Self.maximumDepth) deep.") }
    switch current {
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "{"):
      try enterObject()
      while try nextKey() != nil { try skip(depth: depth + 1) }
    case UInt8(ascii: "["):
      try enterArray()
      while try nextElement() { try skip(depth: depth + 1) }
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    default: _ = try number()
    }
  }

  // MARK: Looking at what was found

  /// Whether the string is this one; only for names without escapes, which the services' are.
  func matches(_ string: Text, _ name: StaticString) -> Bool {
    guard string.range.count == name.utf8CodeUnitCount, let base = bytes.baseAddress else { return false }
    return memcmp(base + string.range.lowerBound, name.utf8Start, name.utf8CodeUnitCount) == 0
  }

  func raw(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }

  /// The number or other bytes as they are written.
  func text(in range: Range<Int>) -> String { String(decoding: raw(range), as: UTF8.self) }

  /// The string's text. Escapes that are no Unicode, such as one half of a surrogate pair, stay as they are.
  func text(of string: Text) -> String {
    string.hasEscapes
      ? JSONEscapes.unescape(raw(string.range)) ?? text(in: string.range) : text(in: string.range)
  }

  // MARK: Bytes

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  /// The services write none, so that what is done before each token is one comparison.
  @inline(__always)
  private mutating func skipSpace() {
    if let byte = current, byte <= 0x20 { skipSpaces() }
  }

  private mutating func skipSpaces() {
    while let byte = current, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      position += 1
    }
  }

  /// Eight bytes at a time: most strings are too short for a call to pay, and all together are most of an answer.
  /// - Returns: the end of the bytes if there is neither.
  private func placeOfQuoteOrBackslash(from start: Int) -> Int {
    var position = start
    while position <= bytes.count - 8 {
      let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self).littleEndian
      let found = word.marks(of: UInt8(ascii: "\"")) | word.marks(of: UInt8(ascii: "\\"))
      if found != 0 { return position + found.trailingZeroBitCount / 8 }
      position += 8
    }
    while position < bytes.count, bytes[position] != UInt8(ascii: "\""),
      bytes[position] != UInt8(ascii: "\\")
    {
      position += 1
    }
    return position
  }

  /// From the first escape on, which has to be checked: its quote ends nothing.
  private mutating func endOfEscapedString() throws(Failure) -> Int {
    while let byte = current, byte != UInt8(ascii: "\"") {
      if byte == UInt8(ascii: "\\") {
        position += 1
        try escape()
      }
      position += 1
    }
    guard position < bytes.count else { throw failure("The string has no end.") }
    position += 1
    return position - 1
  }

  /// Leaves the position at the last byte of the escape.
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
  }

  private mutating func digits() throws(Failure) {
    let start = position
    while let byte = current, isDigit(byte) { position += 1 }
    if position == start { throw failure("A value should stand here.") }
  }

  private mutating func word(_ text: StaticString) throws(Failure) {
    for index in 0..<text.utf8CodeUnitCount {
      guard current == text.utf8Start[index] else { throw failure("This should be \(text).") }
      position += 1
    }
  }

  func failure(_ reason: String) -> Failure { Failure(reason: reason, offset: position) }
}

extension UInt64 {
  /// The highest bit of the lowest of its eight bytes that is this one; bits above that say nothing.
  fileprivate func marks(of byte: UInt8) -> UInt64 {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let difference = self ^ (ones &* UInt64(byte))
    return (difference &- ones) & ~difference & (ones &* 0x80)
  }
}
#endif
