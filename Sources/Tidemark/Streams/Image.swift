/// An item as a JSON object from column or attribute name to value: a view over the bytes that the source sent, decoded
/// only when somebody asks.
public struct Image: Sendable, CustomStringConvertible {
  /// How the object writes a value.
  public enum Encoding: Sendable, Hashable {
    /// The value itself, as PostgreSQL's streams have it: `{"id": 7}`.
    case json
    /// An object of type and value, as DynamoDB has it: `{"id": {"N": "7"}}`.
    ///
    /// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
    case dynamoDB
  }

  /// UTF-8 text of a JSON object. In the stream of a database with another encoding a string may have bytes that are none:
  /// to decode it is an error.
  public let bytes: RecordBytes
  public let encoding: Encoding

  public init(bytes: RecordBytes, encoding: Encoding = .json) {
    self.bytes = bytes
    self.encoding = encoding
  }

  public init(_ json: String, encoding: Encoding = .json) {
    self.init(bytes: RecordBytes(json.utf8), encoding: encoding)
  }

  /// Decodes the object, exactly: nothing is rounded on the way. The same type decodes from both encodings.
  ///
  /// Beside what `Codable` types do by themselves, a number decodes as any integer that it fits into, `Decimal`, a
  /// floating-point type, or `String`, which keeps its digits; the text of a timestamp or date as `Date` or ``Timestamp``
  /// (UTC where it names no zone); bytes, which are `\x…` in a column and Base64 in DynamoDB's encoding, as `Data` or
  /// `[UInt8]`; DynamoDB's sets as arrays or sets. A value of a type that DynamoDB does not have today decodes as the object that it
  /// is part of.
  ///
  /// - Throws: `DecodingError` with the path to what does not fit.
  public func decode<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    try JSONDocument(bytes, encoding).decode(type)
  }

  /// The values as DynamoDB's type: of a column, text is `S`, a number `N` with all its digits, and so on.
  ///
  /// - Throws: `DecodingError` if the bytes are no JSON object, or one of its values is none of DynamoDB's.
  public func attributeValues() throws -> [String: AttributeValue] {
    if encoding == .dynamoDB { return try AttributeValue.values(fromDynamoDBJSON: bytes) }
    let document = try JSONDocument(bytes)
    guard case .m(let values) = try document.attributeValue(at: 0, path: .root) else {
      throw document.mismatch([String: AttributeValue].self, at: 0, path: .root)
    }
    return values
  }

  /// The JSON text, in its encoding. A byte that is no UTF-8 is written as an escape that stands for no character:
  /// `\udc80` to `\udcff`.
  public var description: String { JSONEscapes.text(escapingInvalid: bytes) }
}
