/// An item as a JSON object from column name to value: a view over the bytes that the source sent, decoded only when
/// somebody asks.
public struct Image: Sendable, CustomStringConvertible {
  /// UTF-8 text of a JSON object.
  public let bytes: RecordBytes

  public init(bytes: RecordBytes) {
    self.bytes = bytes
  }

  public init(_ json: String) {
    bytes = RecordBytes(json.utf8)
  }

  /// Decodes the object, exactly: nothing is rounded on the way.
  ///
  /// Beside what `Codable` types do by themselves, a number decodes as any integer that it fits into, `Decimal`, a
  /// floating-point type, or `String`, which keeps its digits; the text of a timestamp or date as `Date` or ``Timestamp``
  /// (UTC where it names no zone); `\x…` as `Data` or `[UInt8]`.
  ///
  /// - Throws: `DecodingError` with the path to what does not fit.
  public func decode<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    try JSONDocument(bytes).decode(type)
  }

  /// The values as DynamoDB's type: text is `S`, a number `N` with all its digits, and so on.
  ///
  /// - Throws: `DecodingError` if the bytes are no JSON object.
  public func attributeValues() throws -> [String: AttributeValue] {
    let document = try JSONDocument(bytes)
    guard case .m(let values) = try document.attributeValue(at: 0, path: .root) else {
      throw document.mismatch([String: AttributeValue].self, at: 0, path: .root)
    }
    return values
  }

  /// The JSON text.
  public var description: String {
    String(decoding: bytes, as: UTF8.self)
  }
}
