/// An object of a ``JSONDocument`` as `Codable` types ask for its keys.
struct JSONObjectContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let document: JSONDocument
  private let node: Int
  private let path: JSONPath
  /// For the paths of the values.
  private let container: JSONPath.Container?

  init(document: JSONDocument, node: Int, path: JSONPath) {
    self.document = document
    self.node = node
    self.path = path
    container = path.container
  }

  var codingPath: [any CodingKey] { path.keys }

  var allKeys: [Key] {
    var (keys, parts) = ([Key](), document.children(of: node))
    while let key = parts.next(), parts.next() != nil {
      // A name that is no Unicode must not be left out of a dictionary: no value is found for it, which is an error.
      let name =
        (try? document.string(at: key, path: path))
        ?? document.withBytes(of: key) { JSONEscapes.text(escapingInvalid: $0) }
      if let key = Key(stringValue: name) { keys.append(key) }
    }
    return keys
  }

  func contains(_ key: Key) -> Bool { find(key) != nil }

  private func find(_ key: Key) -> Int? { document.value(of: key.stringValue, in: node) }

  private func value(_ key: Key) throws -> Int {
    if let value = find(key) { return value }
    let reason = "There is no key “\(key.stringValue)” in the JSON object."
    throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: reason))
  }

  private func path(to key: Key) -> JSONPath { JSONPath(container, key) }

  private func decoder(_ key: any CodingKey, _ value: Int) -> JSONValueDecoder {
    JSONValueDecoder(document: document, node: value, path: JSONPath(container, key))
  }

  func decodeNil(forKey key: Key) throws -> Bool { document.isNull(try value(key)) }

  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
    try document.bool(at: value(key), path: path(to: key))
  }

  func decode(_ type: String.Type, forKey key: Key) throws -> String {
    try document.string(at: value(key), path: path(to: key))
  }

  func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
    try document.double(at: value(key), path: path(to: key))
  }

  func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
    try document.float(at: value(key), path: path(to: key))
  }

  private func integer<Value: FixedWidthInteger>(_ key: Key) throws -> Value {
    try document.integer(Value.self, at: value(key), path: path(to: key))
  }

  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try integer(key) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try integer(key) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try integer(key) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try integer(key) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try integer(key) }
  func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 { try integer(key) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try integer(key) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try integer(key) }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try integer(key) }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try integer(key) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try integer(key) }
  func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 { try integer(key) }

  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    try document.decode(type, at: value(key), path: path(to: key))
  }

  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type,
    forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    try decoder(key, value(key)).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try decoder(key, value(key)).unkeyedContainer()
  }

  func superDecoder() throws -> any Decoder {
    let key = JSONKey("super")
    guard let value = document.value(of: key.stringValue, in: node) else {
      throw document.corrupted("There is no key “super” in the JSON object.", path)
    }
    return decoder(key, value)
  }

  func superDecoder(forKey key: Key) throws -> any Decoder { decoder(key, try value(key)) }
}
