/// Reads a document once, checks all of it, and notes where its values lie.
///
/// https://www.rfc-editor.org/rfc/rfc8259
struct JSONParser {
  struct Failure: Error {
    var reason: String
    var offset: Int
  }

  /// As deep as arrays and objects may nest; Foundation's limit, too.
  static let maximumDepth = 512

  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  private(set) var nodes: [JSONNode] = []

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
    // A column has a key and a value, and seldom less than a dozen bytes.
    nodes.reserveCapacity(8 + bytes.count / 8)
  }

  mutating func parse() throws(Failure) {
    guard bytes.count <= Int32.max else {
      throw Failure(reason: "The document is larger than 2 GiB.", offset: 0)
    }
    try value(depth: 0)
    skipSpace()
    if position < bytes.count { throw failure("Something follows the document's end.") }
  }

  private mutating func value(depth: Int) throws(Failure) {
    skipSpace()
    switch current {
    case UInt8(ascii: "{"): try object(depth: depth + 1)
    case UInt8(ascii: "["): try array(depth: depth + 1)
    case UInt8(ascii: "\""): try string()
    case UInt8(ascii: "t"): try word("true", .yes)
    case UInt8(ascii: "f"): try word("false", .no)
    case UInt8(ascii: "n"): try word("null", .null)
    case nil: throw failure("The document ends where a value should be.")
    case let byte? where byte == UInt8(ascii: "-") || isDigit(byte): try number()
    default: throw failure("No value begins with this byte.")
    }
  }

  // MARK: Arrays and objects

  private mutating func object(depth: Int) throws(Failure) {
    let node = try open(.object, depth: depth)
    if !skip(UInt8(ascii: "}")) {
      repeat {
        skipSpace()
        guard current == UInt8(ascii: "\"") else { throw failure("A key is missing here.") }
        try string()
        guard skip(UInt8(ascii: ":")) else { throw failure("A colon is missing here.") }
        try value(depth: depth)
      } while skip(UInt8(ascii: ","))
      guard skip(UInt8(ascii: "}")) else { throw failure("A comma or the object's end is missing here.") }
    }
    close(node)
  }

  private mutating func array(depth: Int) throws(Failure) {
    let node = try open(.array, depth: depth)
    if !skip(UInt8(ascii: "]")) {
      repeat { try value(depth: depth) } while skip(UInt8(ascii: ","))
      guard skip(UInt8(ascii: "]")) else { throw failure("A comma or the array's end is missing here.") }
    }
    close(node)
  }

  private mutating func open(_ kind: JSONNode.Kind, depth: Int) throws(Failure) -> Int {
    if depth > Self.maximumDepth { throw failure("Values are nested more than \(Self.maximumDepth) deep.") }
    nodes.append(JSONNode(kind: kind, start: Int32(position), end: Int32(position), next: 0))
    position += 1
    return nodes.count - 1
  }

  private mutating func close(_ node: Int) {
    nodes[node].end = Int32(position)
    nodes[node].next = Int32(nodes.count)
  }

  // MARK: Values without parts

  private mutating func string() throws(Failure) {
    position += 1
    let start = position
    var kind = JSONNode.Kind.string
    while let byte = current, byte != UInt8(ascii: "\"") {
      if byte < 0x20 { throw failure("A string contains a control character without an escape.") }
      if byte == UInt8(ascii: "\\") {
        kind = .escapedString
        position += 1
        try escape()
      }
      position += 1
    }
    if current == nil { throw failure("The document ends within a string.") }
    add(kind, from: start)
    position += 1
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

  private mutating func number() throws(Failure) {
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
    add(.number, from: start)
  }

  private mutating func digits() throws(Failure) {
    let start = position
    while let byte = current, isDigit(byte) { position += 1 }
    if position == start { throw failure("A digit is missing here.") }
  }

  private mutating func word(_ text: StaticString, _ kind: JSONNode.Kind) throws(Failure) {
    let start = position
    for index in 0..<text.utf8CodeUnitCount {
      guard current == text.utf8Start[index] else { throw failure("This should be \(text).") }
      position += 1
    }
    add(kind, from: start)
  }

  private mutating func add(_ kind: JSONNode.Kind, from start: Int) {
    nodes.append(
      JSONNode(kind: kind, start: Int32(start), end: Int32(position), next: Int32(nodes.count) + 1)
    )
  }

  // MARK: Bytes

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = current, byte <= 0x20, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      position += 1
    }
  }

  /// Skips white space and then this byte, if it is there.
  private mutating func skip(_ byte: UInt8) -> Bool {
    skipSpace()
    guard current == byte else { return false }
    position += 1
    return true
  }

  private func failure(_ reason: String) -> Failure { Failure(reason: reason, offset: position) }
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
