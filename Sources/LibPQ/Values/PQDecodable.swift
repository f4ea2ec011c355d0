/// A value that can be read from a result, in PostgreSQL's binary format.
///
/// Integers are read from any integer type that fits into them, `Decimal` from `numeric` and integers, `Date` from
/// `timestamptz`, `String` from the text-like types and JSON, bytes and `Data` from `bytea`, text and JSON. For any other
/// type cast in the statement: `SELECT duration::text`.
public protocol PQDecodable {
  /// - Parameter bytes: The value as the server sent it, valid for as long as the rows that it came with.
  init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws
  /// What NULL is read as, or nil when this type has no such value.
  static var postgresNull: Self? { get }
}

extension PQDecodable {
  public static var postgresNull: Self? { nil }
}

extension Optional: PQDecodable where Wrapped: PQDecodable {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    self = try Wrapped(postgresBinary: bytes, type: type)
  }

  public static var postgresNull: Self? { .some(.none) }
}

extension Bool: PQDecodable {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    guard type == .bool, bytes.count == 1 else { throw PQError.cannotDecode(Self.self, from: type) }
    self = bytes[0] != 0
  }
}

extension PQDecodable where Self: FixedWidthInteger & SignedInteger {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    let value: Int64
    switch (type, bytes.count) {
    case (.int2, 2): value = Int64(bytes.loadBigEndian(Int16.self))
    case (.int4, 4): value = Int64(bytes.loadBigEndian(Int32.self))
    case (.int8, 8): value = bytes.loadBigEndian(Int64.self)
    case (.oid, 4): value = Int64(bytes.loadBigEndian(UInt32.self))
    default: throw PQError.cannotDecode(Self.self, from: type)
    }
    guard let exact = Self(exactly: value) else {
      throw PQError(.decoding, "An integer does not fit into \(Self.self). Decode Int64 instead.")
    }
    self = exact
  }
}

extension Int16: PQDecodable {}
extension Int32: PQDecodable {}
extension Int64: PQDecodable {}
extension Int: PQDecodable {}

extension Float: PQDecodable {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    guard type == .float4, bytes.count == 4 else { throw PQError.cannotDecode(Self.self, from: type) }
    self = Float(bitPattern: bytes.loadBigEndian(UInt32.self))
  }
}

extension Double: PQDecodable {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    switch (type, bytes.count) {
    case (.float8, 8): self = Double(bitPattern: bytes.loadBigEndian(UInt64.self))
    case (.float4, 4): self = Double(Float(bitPattern: bytes.loadBigEndian(UInt32.self)))
    default: throw PQError.cannotDecode(Self.self, from: type)
    }
  }
}

extension String: PQDecodable {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    guard let text = try bytes.textContent(of: type) else {
      throw PQError.cannotDecode(Self.self, from: type)
    }
    self = String(decoding: text, as: UTF8.self)
  }
}

extension ArraySlice<UInt8>: PQDecodable {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    self = try [UInt8](postgresBinary: bytes, type: type)[...]
  }
}

extension UnsafeRawBufferPointer {
  /// The text of a value of a type whose binary format is its text, or nil for other types.
  func textContent(of type: PQType) throws -> UnsafeRawBufferPointer? {
    switch type {
    case .text, .varchar, .bpchar, .name, .json, .xml, .unknown: return self
    case .jsonb:
      // jsonb's binary format is a version byte and then the text; 1 is the only version there is.
      guard first == 1 else { throw PQError(.decoding, "The server sent an unknown version of jsonb.") }
      return UnsafeRawBufferPointer(rebasing: dropFirst())
    default: return nil
    }
  }

  func loadBigEndian<T: FixedWidthInteger>(_ type: T.Type, at offset: Int = 0) -> T {
    T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
  }
}

extension PQError {
  static func cannotDecode(_ target: Any.Type, from type: PQType) -> Self {
    Self(
      .decoding,
      "Cannot decode a value of the PostgreSQL type with \(type) as \(target)."
        + " Decode another type, or cast in the statement, for example with ::text."
    )
  }
}
