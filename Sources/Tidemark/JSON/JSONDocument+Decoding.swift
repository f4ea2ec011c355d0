extension JSONDocument {
  func decode<Value: Decodable>(_ type: Value.Type, at node: Int, path: JSONPath) throws -> Value {
    // Some types decode themselves from something that no column has, or lose digits.
    if let value = try known(type, at: node, path: path) { return value }
    return try Value(from: JSONValueDecoder(document: self, node: node, path: path))
  }

  /// A value of one of the types that this decodes by itself.
  private func known<Value>(_ type: Value.Type, at node: Int, path: JSONPath) throws -> Value? {
    if type == Timestamp.self, nodes[node].kind != .object {
      return try timestamp(at: node, as: type, path: path) as? Value
    }
    if type == [UInt8].self, nodes[node].kind != .array {
      return try bytes(at: node, as: type, path: path) as? Value
    }
    return try foundationValue(type, at: node, path: path)
  }

  func isNull(_ node: Int) -> Bool { nodes[node].kind == .null }

  func bool(at node: Int, path: JSONPath) throws -> Bool {
    switch nodes[node].kind {
    case .yes: return true
    case .no: return false
    default: throw mismatch(Bool.self, at: node, path: path)
    }
  }

  func integer<Value: FixedWidthInteger>(_ type: Value.Type, at node: Int, path: JSONPath) throws -> Value {
    guard let value = try number(at: node, as: type, path: path).integer(type) else {
      throw corrupted("\(try string(at: node, path: path)) is no integer that fits into \(type).", path)
    }
    return value
  }

  func double(at node: Int, path: JSONPath) throws -> Double {
    if let special = special(at: node) { return special }
    guard let value = try number(at: node, as: Double.self, path: path).double else {
      throw corrupted("\(try string(at: node, path: path)) does not fit into Double.", path)
    }
    return value
  }

  func float(at node: Int, path: JSONPath) throws -> Float {
    if let special = special(at: node) { return Float(special) }
    guard let value = try number(at: node, as: Float.self, path: path).float else {
      throw corrupted("\(try string(at: node, path: path)) does not fit into Float.", path)
    }
    return value
  }

  /// JSON has no numbers for these; PostgreSQL writes them as strings.
  func special(at node: Int) -> Double? {
    guard nodes[node].kind == .string else { return nil }
    return switch try? string(at: node, path: .root) {
    case "NaN": .nan
    case "Infinity": .infinity
    case "-Infinity": -.infinity
    default: nil
    }
  }

  func timestamp(at node: Int, as type: Any.Type, path: JSONPath) throws -> Timestamp {
    guard nodes[node].kind == .string else { throw mismatch(type, at: node, path: path) }
    guard let time = withBytes(of: node, { TimestampText.parse($0) }) else {
      throw corrupted("“\(try string(at: node, path: path))” is neither a timestamp nor a date.", path)
    }
    return time
  }

  /// Bytes as a column or DynamoDB's encoding has them.
  func bytes(at node: Int, as type: Any.Type, path: JSONPath) throws -> [UInt8] {
    guard nodes[node].kind == .base64 else { return try bytea(at: node, as: type, path: path) }
    guard let bytes = Base64.decode(try string(at: node, path: path)) else {
      throw corrupted("The value is not Base64, as bytes are in DynamoDB's JSON.", path)
    }
    return bytes
  }

  private func bytea(at node: Int, as type: Any.Type, path: JSONPath) throws -> [UInt8] {
    guard nodes[node].kind == .string || nodes[node].kind == .escapedString else {
      throw mismatch(type, at: node, path: path)
    }
    // The backslash of the text is escaped in JSON.
    let bytes = withBytes(of: node) { text -> [UInt8]? in
      guard text.count >= 3, text.prefix(3).elementsEqual(#"\\x"#.utf8), text.count % 2 == 1 else {
        return nil
      }
      var bytes: [UInt8] = []
      bytes.reserveCapacity(text.count / 2)
      for position in stride(from: 3, to: text.count, by: 2) {
        guard let high = hexValue(text[position]), let low = hexValue(text[position + 1]) else { return nil }
        bytes.append(high << 4 | low)
      }
      return bytes
    }
    guard let bytes else {
      throw corrupted(#"The string is no bytea, which would be \x and pairs of hex digits."#, path)
    }
    return bytes
  }

  func attributeValue(at node: Int, path: JSONPath) throws -> AttributeValue {
    switch nodes[node].kind {
    case .null: return .null
    case .yes: return .bool(true)
    case .no: return .bool(false)
    case .number: return .n(try string(at: node, path: path))
    case .string, .escapedString: return .s(try string(at: node, path: path))
    case .base64: return .b(try bytes(at: node, as: [UInt8].self, path: path))
    case .array:
      let container = path.container
      return .l(
        try children(of: node).enumerated().map { index, child in
          try attributeValue(at: child, path: JSONPath(container, JSONKey(index: index)))
        }
      )
    case .object:
      let container = path.container
      var (values, parts) = ([String: AttributeValue](), children(of: node))
      while let key = parts.next(), let value = parts.next() {
        let name = try string(at: key, path: path)
        values[name] = try attributeValue(at: value, path: JSONPath(container, JSONKey(name)))
      }
      return .m(values)
    }
  }
}
