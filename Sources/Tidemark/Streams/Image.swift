#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A JSON object that is decoded only when somebody asks: a view over the bytes that the source sent.
public struct Image: Sendable, CustomStringConvertible {
  /// UTF-8 text of a JSON object.
  public var bytes: ArraySlice<UInt8>

  public init(bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
  }

  public init(_ json: String) {
    self.bytes = ArraySlice(json.utf8)
  }

  /// Decodes the object with Foundation's `JSONDecoder` and its default strategies.
  public func decode<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
    try JSONDecoder().decode(type, from: Data(bytes))
  }

  /// The JSON text.
  public var description: String {
    String(decoding: bytes, as: UTF8.self)
  }
}
