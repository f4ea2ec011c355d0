/// An array of a ``JSONDocument`` as `Codable` types ask for its elements.
struct JSONArrayContainer: UnkeyedDecodingContainer {
  private let document: JSONDocument
  private let node: Int
  private let path: JSONPath
  private let container: JSONPath.Container?
  private var elements: JSONChildren
  private(set) var currentIndex = 0

  init(document: JSONDocument, node: Int, path: JSONPath) {
    self.document = document
    self.node = node
    self.path = path
    container = path.container
    elements = document.children(of: node)
  }

  var codingPath: [any CodingKey] { path.keys }
  var count: Int? { document.children(of: node).reduce(0) { count, _ in count + 1 } }
  var isAtEnd: Bool { elements.isAtEnd }

  /// The cursor moves only past what was decoded.
  private mutating func next<Value>(
    _ type: Any.Type = Value.self,
    _ body: (JSONValueDecoder) throws -> Value
  ) throws -> Value {
    let path = JSONPath(container, JSONKey(index: currentIndex))
    if isAtEnd {
      let reason = "The array has only \(currentIndex) elements."
      throw DecodingError.valueNotFound(type, .init(codingPath: path.keys, debugDescription: reason))
    }
    let value = try body(JSONValueDecoder(document: document, node: elements.position, path: path))
    _ = elements.next()
    currentIndex += 1
    return value
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, document.isNull(elements.position) else { return false }
    return try next { _ in true }
  }

  mutating func decode(_ type: Bool.Type) throws -> Bool { try next { try $0.decode(type) } }
  mutating func decode(_ type: String.Type) throws -> String { try next { try $0.decode(type) } }
  mutating func decode(_ type: Double.Type) throws -> Double { try next { try $0.decode(type) } }
  mutating func decode(_ type: Float.Type) throws -> Float { try next { try $0.decode(type) } }
  mutating func decode(_ type: Int.Type) throws -> Int { try next { try $0.decode(type) } }
  mutating func decode(_ type: Int8.Type) throws -> Int8 { try next { try $0.decode(type) } }
  mutating func decode(_ type: Int16.Type) throws -> Int16 { try next { try $0.decode(type) } }
  mutating func decode(_ type: Int32.Type) throws -> Int32 { try next { try $0.decode(type) } }
  mutating func decode(_ type: Int64.Type) throws -> Int64 { try next { try $0.decode(type) } }
  mutating func decode(_ type: Int128.Type) throws -> Int128 { try next { try $0.decode(type) } }
  mutating func decode(_ type: UInt.Type) throws -> UInt { try next { try $0.decode(type) } }
  mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try next { try $0.decode(type) } }
  mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try next { try $0.decode(type) } }
  mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try next { try $0.decode(type) } }
  mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try next { try $0.decode(type) } }
  mutating func decode(_ type: UInt128.Type) throws -> UInt128 { try next { try $0.decode(type) } }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    try next { try $0.decode(type) }
  }

  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> {
    try next { try $0.container(keyedBy: type) }
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try next { try $0.unkeyedContainer() }
  }

  mutating func superDecoder() throws -> any Decoder { try next { $0 } }
}
