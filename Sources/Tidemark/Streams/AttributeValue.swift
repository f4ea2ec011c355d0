/// A value as DynamoDB types it, encoded and decoded in DynamoDB's own JSON: `{"N": "12.50"}`.
///
/// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
public indirect enum AttributeValue: Sendable, Hashable {
  case s(String)
  /// Decimal text with all its digits.
  case n(String)
  case b([UInt8])
  case bool(Bool)
  case null
  case m([String: AttributeValue])
  case l([AttributeValue])
  case ss([String])
  case ns([String])
  case bs([[UInt8]])
}

extension AttributeValue: Codable {
  private enum CodingKeys: String, CodingKey, CaseIterable {
    case s = "S"
    case n = "N"
    case b = "B"
    case bool = "BOOL"
    case null = "NULL"
    case m = "M"
    case l = "L"
    case ss = "SS"
    case ns = "NS"
    case bs = "BS"
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .s(let text): try container.encode(text, forKey: .s)
    case .n(let digits): try container.encode(digits, forKey: .n)
    case .b(let bytes): try container.encode(Base64.encode(bytes), forKey: .b)
    case .bool(let value): try container.encode(value, forKey: .bool)
    case .null: try container.encode(true, forKey: .null)
    case .m(let values): try container.encode(values, forKey: .m)
    case .l(let values): try container.encode(values, forKey: .l)
    case .ss(let texts): try container.encode(texts, forKey: .ss)
    case .ns(let numbers): try container.encode(numbers, forKey: .ns)
    case .bs(let all): try container.encode(all.map(Base64.encode), forKey: .bs)
    }
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    guard let type = container.allKeys.first, container.allKeys.count == 1 else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "An attribute value has one key: its type.")
      )
    }
    switch type {
    case .s: self = .s(try container.decode(String.self, forKey: type))
    case .n: self = .n(try container.decode(String.self, forKey: type))
    case .b: self = .b(try Self.bytes(container.decode(String.self, forKey: type), decoder))
    case .bool: self = .bool(try container.decode(Bool.self, forKey: type))
    case .null: self = .null
    case .m: self = .m(try container.decode([String: AttributeValue].self, forKey: type))
    case .l: self = .l(try container.decode([AttributeValue].self, forKey: type))
    case .ss: self = .ss(try container.decode([String].self, forKey: type))
    case .ns: self = .ns(try container.decode([String].self, forKey: type))
    case .bs:
      self = .bs(try container.decode([String].self, forKey: type).map { try Self.bytes($0, decoder) })
    }
  }

  private static func bytes(_ base64: String, _ decoder: any Decoder) throws -> [UInt8] {
    guard let bytes = Base64.decode(base64) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "Binary values are Base64; this is not.")
      )
    }
    return bytes
  }
}

extension AttributeValue {
  /// Reads an object from attribute name to value in DynamoDB's JSON, as DynamoDB Streams sends keys and images.
  ///
  /// - Throws: `DecodingError`.
  public static func values(fromDynamoDBJSON json: RecordBytes) throws -> [String: AttributeValue] {
    try JSONDocument(json).decode([String: AttributeValue].self)
  }

  /// The value in DynamoDB's JSON, keys in order.
  public var dynamoDBJSON: String {
    var json: [UInt8] = []
    write(to: &json)
    return String(decoding: json, as: UTF8.self)
  }

  private func write(to json: inout [UInt8]) {
    switch self {
    case .s(let text): Self.write("S", to: &json) { JSONEscapes.write(text, to: &$0) }
    case .n(let digits): Self.write("N", to: &json) { JSONEscapes.write(digits, to: &$0) }
    case .b(let bytes): Self.write("B", to: &json) { JSONEscapes.write(Base64.encode(bytes), to: &$0) }
    case .bool(let value): Self.write("BOOL", to: &json) { $0 += Array("\(value)".utf8) }
    case .null: Self.write("NULL", to: &json) { $0 += Array("true".utf8) }
    case .m(let values): Self.write("M", to: &json) { Self.write(values, to: &$0) }
    case .l(let values): Self.write("L", values, to: &json) { $0.write(to: &$1) }
    case .ss(let texts): Self.write("SS", texts, to: &json) { JSONEscapes.write($0, to: &$1) }
    case .ns(let numbers): Self.write("NS", numbers, to: &json) { JSONEscapes.write($0, to: &$1) }
    case .bs(let all): Self.write("BS", all, to: &json) { JSONEscapes.write(Base64.encode($0), to: &$1) }
    }
  }

  private static func write(_ type: String, to json: inout [UInt8], _ value: (inout [UInt8]) -> Void) {
    json += Array("{\"\(type)\":".utf8)
    value(&json)
    json.append(UInt8(ascii: "}"))
  }

  private static func write<Element>(
    _ type: String,
    _ elements: [Element],
    to json: inout [UInt8],
    _ element: (Element, inout [UInt8]) -> Void
  ) {
    write(type, to: &json) { json in
      for (index, value) in elements.enumerated() {
        json.append(UInt8(ascii: index == 0 ? "[" : ","))
        element(value, &json)
      }
      json += Array((elements.isEmpty ? "[]" : "]").utf8)
    }
  }

  private static func write(_ values: [String: AttributeValue], to json: inout [UInt8]) {
    json.append(UInt8(ascii: "{"))
    for (index, (name, value)) in values.sorted(by: { $0.key < $1.key }).enumerated() {
      if index > 0 { json.append(UInt8(ascii: ",")) }
      JSONEscapes.write(name, to: &json)
      json.append(UInt8(ascii: ":"))
      value.write(to: &json)
    }
    json.append(UInt8(ascii: "}"))
  }
}
