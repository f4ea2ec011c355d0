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
  typealias Failure = JSONCursor.Failure

  /// A string where it lies, without its quotes.
  struct Text: Sendable, Equatable {
    var range: Range<Int>
    /// Whether the bytes are not yet the text.
    var hasEscapes: Bool
  }

  private var cursor: JSONCursor
  /// Whether an object or array has just begun, so that no comma stands before what comes next.
  private var isAtStart = false

  /// - Parameter bytes: have to stay where they are for as long as the scanner is used.
  init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0) {
    cursor = JSONCursor(bytes, at: position)
  }

  var position: Int { cursor.position }

  // MARK: Objects and arrays

  mutating func enterObject() throws(Failure) { try enter(UInt8(ascii: "{"), "An object should begin here.") }

  mutating func enterArray() throws(Failure) { try enter(UInt8(ascii: "["), "An array should begin here.") }

  /// The key whose value comes next; `nil` once the object has ended.
  mutating func nextKey() throws(Failure) -> Text? {
    guard try goesOn(until: UInt8(ascii: "}")) else { return nil }
    let key = try string()
    guard cursor.skip(UInt8(ascii: ":")) else { throw failure("A colon is missing here.") }
    return key
  }

  /// Whether a value comes next; `false` once the array has ended.
  mutating func nextElement() throws(Failure) -> Bool { try goesOn(until: UInt8(ascii: "]")) }

  private mutating func enter(_ bracket: UInt8, _ reason: String) throws(Failure) {
    guard cursor.skip(bracket) else { throw failure(reason) }
    isAtStart = true
  }

  private mutating func goesOn(until bracket: UInt8) throws(Failure) -> Bool {
    let isFirst = isAtStart
    isAtStart = false
    if cursor.skip(bracket) { return false }
    if isFirst { return true }
    guard cursor.skip(UInt8(ascii: ",")) else { throw failure("A comma or an end is missing here.") }
    return true
  }

  // MARK: Values

  /// - Returns: whether the next value is null, and if so, goes past it. The services leave out what they do not have;
  ///   some that imitate them say null.
  mutating func takeNull() throws(Failure) -> Bool {
    cursor.skipSpace()
    guard cursor.current == UInt8(ascii: "n") else { return false }
    try cursor.word("null")
    return true
  }

  mutating func string() throws(Failure) -> Text {
    cursor.skipSpace()
    guard cursor.current == UInt8(ascii: "\"") else { throw failure("A string should begin here.") }
    let (range, hasEscapes) = try cursor.string()
    return Text(range: range, hasEscapes: hasEscapes)
  }

  mutating func bool() throws(Failure) -> Bool {
    cursor.skipSpace()
    let isTrue = cursor.current == UInt8(ascii: "t")
    if isTrue { try cursor.word("true") } else { try cursor.word("false") }
    return isTrue
  }

  /// The number as it is written.
  mutating func number() throws(Failure) -> Range<Int> {
    cursor.skipSpace()
    guard cursor.isAtNumber else { throw failure("A value should stand here.") }
    return try cursor.number()
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
    cursor.skipSpace()
    let start = position
    try skip(depth: 0)
    return start..<position
  }

  private mutating func skip(depth: Int) throws(Failure) {
    cursor.skipSpace()
    if depth > JSONCursor.maximumDepth {
      throw failure("Values are nested more than \(JSONCursor.maximumDepth) deep.")
    }
    switch cursor.current {
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "{"):
      try enterObject()
      while try nextKey() != nil { try skip(depth: depth + 1) }
    case UInt8(ascii: "["):
      try enterArray()
      while try nextElement() { try skip(depth: depth + 1) }
    case UInt8(ascii: "t"): try cursor.word("true")
    case UInt8(ascii: "f"): try cursor.word("false")
    case UInt8(ascii: "n"): try cursor.word("null")
    default: _ = try number()
    }
  }

  // MARK: Looking at what was found

  /// Whether the string is this one; only for names without escapes, which the services' are.
  func matches(_ string: Text, _ name: StaticString) -> Bool {
    guard string.range.count == name.utf8CodeUnitCount, let base = cursor.bytes.baseAddress else {
      return false
    }
    return memcmp(base + string.range.lowerBound, name.utf8Start, name.utf8CodeUnitCount) == 0
  }

  func raw(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: cursor.bytes[range])
  }

  /// The number or other bytes as they are written.
  func text(in range: Range<Int>) -> String { String(decoding: raw(range), as: UTF8.self) }

  /// The string's text. Escapes that are no Unicode, such as one half of a surrogate pair, stay as they are.
  func text(of string: Text) -> String {
    string.hasEscapes
      ? JSONEscapes.unescape(raw(string.range)) ?? text(in: string.range) : text(in: string.range)
  }

  func failure(_ reason: String) -> Failure { cursor.failure(reason) }
}
#endif
