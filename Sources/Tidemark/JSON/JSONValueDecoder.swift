/// A value of a ``JSONDocument`` as `Codable` types ask for it.
struct JSONValueDecoder: Decoder {
  let document: JSONDocument
  let node: Int
  let path: JSONPath

  var codingPath: [any CodingKey] { path.keys }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard document.nodes[node].kind == .object else {
      throw document.mismatch([String: Any].self, at: node, path: path)
    }
    return KeyedDecodingContainer(JSONObjectContainer<Key>(document: document, node: node, path: path))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard document.nodes[node].kind == .array else {
      throw document.mismatch([Any].self, at: node, path: path)
    }
    return JSONArrayContainer(document: document, node: node, path: path)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }
}

extension JSONValueDecoder: SingleValueDecodingContainer {
  func decodeNil() -> Bool { document.isNull(node) }
  func decode(_ type: Bool.Type) throws -> Bool { try document.bool(at: node, path: path) }
  func decode(_ type: String.Type) throws -> String { try document.string(at: node, path: path) }
  func decode(_ type: Double.Type) throws -> Double { try document.double(at: node, path: path) }
  func decode(_ type: Float.Type) throws -> Float { try document.float(at: node, path: path) }
  func decode(_ type: Int.Type) throws -> Int { try document.integer(type, at: node, path: path) }
  func decode(_ type: Int8.Type) throws -> Int8 { try document.integer(type, at: node, path: path) }
  func decode(_ type: Int16.Type) throws -> Int16 { try document.integer(type, at: node, path: path) }
  func decode(_ type: Int32.Type) throws -> Int32 { try document.integer(type, at: node, path: path) }
  func decode(_ type: Int64.Type) throws -> Int64 { try document.integer(type, at: node, path: path) }
  func decode(_ type: Int128.Type) throws -> Int128 { try document.integer(type, at: node, path: path) }
  func decode(_ type: UInt.Type) throws -> UInt { try document.integer(type, at: node, path: path) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try document.integer(type, at: node, path: path) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try document.integer(type, at: node, path: path) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try document.integer(type, at: node, path: path) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try document.integer(type, at: node, path: path) }
  func decode(_ type: UInt128.Type) throws -> UInt128 { try document.integer(type, at: node, path: path) }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    try document.decode(type, at: node, path: path)
  }
}
