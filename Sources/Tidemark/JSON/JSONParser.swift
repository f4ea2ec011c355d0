/// Reads a document once, checks all of it, and notes where its values lie.
struct JSONParser {
  typealias Failure = JSONCursor.Failure

  private var cursor: JSONCursor
  private(set) var nodes: [JSONNode] = []

  init(_ bytes: UnsafeRawBufferPointer) {
    cursor = JSONCursor(bytes)
    // A column has a key and a value, and seldom less than a dozen bytes.
    nodes.reserveCapacity(8 + bytes.count / 8)
  }

  mutating func parse() throws(Failure) {
    guard cursor.bytes.count <= Int32.max else {
      throw Failure(reason: "The document is larger than 2 GiB.", offset: 0)
    }
    try value(depth: 0)
    cursor.skipSpace()
    if cursor.current != nil { throw cursor.failure("Something follows the document's end.") }
  }

  private mutating func value(depth: Int) throws(Failure) {
    cursor.skipSpace()
    switch cursor.current {
    case UInt8(ascii: "{"): try object(depth: depth + 1)
    case UInt8(ascii: "["): try array(depth: depth + 1)
    case UInt8(ascii: "\""): try string()
    case UInt8(ascii: "t"): try word("true", .yes)
    case UInt8(ascii: "f"): try word("false", .no)
    case UInt8(ascii: "n"): try word("null", .null)
    case nil: throw cursor.failure("The document ends where a value should be.")
    case _ where cursor.isAtNumber: add(.number, try cursor.number())
    default: throw cursor.failure("No value begins with this byte.")
    }
  }

  // MARK: Arrays and objects

  private mutating func object(depth: Int) throws(Failure) {
    let node = try open(.object, depth: depth)
    if !cursor.skip(UInt8(ascii: "}")) {
      repeat {
        cursor.skipSpace()
        guard cursor.current == UInt8(ascii: "\"") else { throw cursor.failure("A key is missing here.") }
        try string()
        guard cursor.skip(UInt8(ascii: ":")) else { throw cursor.failure("A colon is missing here.") }
        try value(depth: depth)
      } while cursor.skip(UInt8(ascii: ","))
      guard cursor.skip(UInt8(ascii: "}")) else {
        throw cursor.failure("A comma or the object's end is missing here.")
      }
    }
    close(node)
  }

  private mutating func array(depth: Int) throws(Failure) {
    let node = try open(.array, depth: depth)
    if !cursor.skip(UInt8(ascii: "]")) {
      repeat { try value(depth: depth) } while cursor.skip(UInt8(ascii: ","))
      guard cursor.skip(UInt8(ascii: "]")) else {
        throw cursor.failure("A comma or the array's end is missing here.")
      }
    }
    close(node)
  }

  private mutating func open(_ kind: JSONNode.Kind, depth: Int) throws(Failure) -> Int {
    if depth > JSONCursor.maximumDepth {
      throw cursor.failure("Values are nested more than \(JSONCursor.maximumDepth) deep.")
    }
    let start = Int32(cursor.position)
    nodes.append(JSONNode(kind: kind, start: start, end: start, next: 0))
    cursor.position += 1
    return nodes.count - 1
  }

  private mutating func close(_ node: Int) {
    nodes[node].end = Int32(cursor.position)
    nodes[node].next = Int32(nodes.count)
  }

  // MARK: Values without parts

  private mutating func string() throws(Failure) {
    let (range, hasEscapes) = try cursor.string()
    add(hasEscapes ? .escapedString : .string, range)
  }

  private mutating func word(_ text: StaticString, _ kind: JSONNode.Kind) throws(Failure) {
    let start = cursor.position
    try cursor.word(text)
    add(kind, start..<cursor.position)
  }

  private mutating func add(_ kind: JSONNode.Kind, _ range: Range<Int>) {
    nodes.append(
      JSONNode(
        kind: kind,
        start: Int32(range.lowerBound),
        end: Int32(range.upperBound),
        next: Int32(nodes.count) + 1
      )
    )
  }
}
