import Foundation

extension UUID: PQEncodable, PQDecodable, PQArrayElement {
  public static var postgresType: PQType { .uuid }
  public static var postgresArrayType: PQType { .uuidArray }

  public func encode(into bytes: inout [UInt8]) {
    Swift.withUnsafeBytes(of: uuid) { bytes.append(contentsOf: $0) }
  }

  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    guard type == .uuid, bytes.count == 16 else { throw PQError.cannotDecode(Self.self, from: type) }
    self.init(uuid: bytes.loadUnaligned(as: uuid_t.self))
  }
}
