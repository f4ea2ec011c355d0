/// A parsed JSON text whose values are decoded from its bytes when they are asked for.
final class JSONDocument {
  let nodes: [JSONNode]
  private let bytes: RecordBytes
  /// The key that was found last: types usually ask for keys in the order in which the document has them.
  private var lastFound: (object: Int, key: Int) = (-1, -1)

  /// - Parameter encoding: what stands for a value; in DynamoDB's, the document's own object maps names to values.
  /// - Throws: `DecodingError.dataCorrupted` if this is no JSON.
  init(_ bytes: RecordBytes, _ encoding: Image.Encoding = .json) throws {
    self.bytes = bytes
    nodes = try bytes.withUnsafeBytes { bytes in
      var parser = JSONParser(bytes)
      do throws(JSONParser.Failure) {
        try parser.parse()
      } catch {
        throw Self.malformed(error, after: parser.nodes, in: bytes)
      }
      return encoding == .dynamoDB ? AttributeNodes.unwrap(parser.nodes, in: bytes) : parser.nodes
    }
  }

  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    try decode(type, at: 0, path: .root)
  }

  // MARK: Finding values

  /// The elements of an array, or keys and values of an object in turn.
  func children(of node: Int) -> JSONChildren {
    JSONChildren(nodes: nodes, position: node + 1, end: Int(nodes[node].next))
  }

  /// The value of an object's key, if it has it.
  func value(of key: String, in object: Int) -> Int? {
    let end = Int(nodes[object].next)
    let first = object + 1
    if first == end { return nil }
    let start = lastFound.object == object ? lastFound.key : first
    var position = start
    repeat {
      if isKey(position, key) {
        lastFound = (object, position)
        return position + 1
      }
      position = Int(nodes[position + 1].next)
      if position == end { position = first }
    } while position != start
    return nil
  }

  private func isKey(_ node: Int, _ key: String) -> Bool {
    if nodes[node].kind == .escapedString { return (try? string(at: node, path: .root)) == key }
    return withBytes(of: node) { bytes in
      key.utf8.count == bytes.count && key.utf8.elementsEqual(bytes)
    }
  }

  // MARK: Text

  func withBytes<R>(of node: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let range = Int(nodes[node].start)..<Int(nodes[node].end)
    return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  /// The text of a string, or of a number as it stands there.
  func string(at node: Int, path: JSONPath) throws -> String {
    let text: String? =
      switch nodes[node].kind {
      case .string, .number: withBytes(of: node) { String(validating: $0, as: UTF8.self) }
      case .escapedString, .base64: withBytes(of: node) { JSONEscapes.unescape($0) }
      default: throw mismatch(String.self, at: node, path: path)
      }
    guard let text else { throw corrupted("The string holds bytes or escapes that are no Unicode.", path) }
    return text
  }

  func number(at node: Int, as type: Any.Type, path: JSONPath) throws -> JSONNumber {
    guard nodes[node].kind == .number else { throw mismatch(type, at: node, path: path) }
    return withBytes(of: node) { JSONNumber($0) }
  }

  // MARK: Errors

  func mismatch(_ type: Any.Type, at node: Int, path: JSONPath) -> DecodingError {
    let found =
      switch nodes[node].kind {
      case .null: "null"
      case .yes, .no: "a truth value"
      case .number: "a number"
      case .string, .escapedString: "a string"
      case .base64: "bytes"
      case .array: "an array"
      case .object: "an object"
      }
    let context = DecodingError.Context(
      codingPath: path.keys,
      debugDescription: "\(type) was expected; the JSON has \(found)."
    )
    return nodes[node].kind == .null ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  func corrupted(_ reason: String, _ path: JSONPath) -> DecodingError {
    .dataCorrupted(DecodingError.Context(codingPath: path.keys, debugDescription: reason))
  }

  private static func malformed(
    _ failure: JSONParser.Failure,
    after nodes: [JSONNode],
    in bytes: UnsafeRawBufferPointer
  ) -> DecodingError {
    .dataCorrupted(
      DecodingError.Context(
        codingPath: path(toEndOf: nodes, in: bytes),
        debugDescription: "This is no JSON, at byte \(failure.offset): \(failure.reason)"
      )
    )
  }

  /// The way to where a parser stopped: through the arrays and objects that are still open.
  private static func path(toEndOf nodes: [JSONNode], in bytes: UnsafeRawBufferPointer) -> [any CodingKey] {
    var path: [any CodingKey] = []
    var container = 0
    while container < nodes.count, nodes[container].next == 0 {
      let isObject = nodes[container].kind == .object
      var (child, number) = (container + 1, 0)
      // Past the children that are complete; an object's last key has no value yet, or one that is open.
      while true {
        let value = isObject ? child + 1 : child
        guard value < nodes.count, nodes[value].next != 0 else { break }
        (child, number) = (Int(nodes[value].next), number + 1)
      }
      if isObject, child >= nodes.count { break }
      if isObject {
        let range = Int(nodes[child].start)..<Int(nodes[child].end)
        path.append(JSONKey(String(decoding: bytes[range], as: UTF8.self)))
      } else {
        path.append(JSONKey(index: number))
      }
      container = isObject ? child + 1 : child
    }
    return path
  }
}

/// The direct parts of an array or object.
struct JSONChildren: Sequence, IteratorProtocol {
  let nodes: [JSONNode]
  var position: Int
  let end: Int

  var isAtEnd: Bool { position >= end }

  mutating func next() -> Int? {
    if isAtEnd { return nil }
    defer { position = Int(nodes[position].next) }
    return position
  }
}
