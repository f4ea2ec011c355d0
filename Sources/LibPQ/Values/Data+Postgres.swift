import Foundation

/// `bytea`; text and JSON can be read as well.
extension Data: PQEncodable, PQDecodable, PQArrayElement {
  public static var postgresType: PQType { .bytea }
  public static var postgresArrayType: PQType { .byteaArray }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(contentsOf: self)
  }

  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    guard let content = try type == .bytea ? bytes : bytes.textContent(of: type) else {
      throw PQError.cannotDecode(Self.self, from: type)
    }
    self.init(content)
  }
}
