/// A value that can be bound to a statement, in PostgreSQL's binary format.
///
/// The library conforms `Bool`, `Int16`, `Int32`, `Int64`, `Int` (int8), `Double`, `Float`, `Decimal` (numeric),
/// `String` (text), `Date` (timestamptz), `UUID`, `Data`, `[UInt8]` and `ArraySlice<UInt8>` (bytea), one-dimensional
/// arrays of these, and optionals. For any other type bind text and cast it in the statement: `\(text)::interval`.
public protocol PQEncodable: Sendable {
  static var postgresType: PQType { get }
  /// Whether this is NULL; then ``encode(into:)`` is not called.
  var isPostgresNull: Bool { get }
  /// Appends the value in the binary format of ``postgresType``.
  ///
  /// - Throws: if the type does not have the value; the statement that it was bound to then throws that.
  func encode(into bytes: inout [UInt8]) throws
}

extension PQEncodable {
  public var isPostgresNull: Bool { false }
}

extension Optional: PQEncodable where Wrapped: PQEncodable {
  public static var postgresType: PQType { Wrapped.postgresType }

  public var isPostgresNull: Bool { self?.isPostgresNull ?? true }

  public func encode(into bytes: inout [UInt8]) throws {
    try self?.encode(into: &bytes)
  }
}

extension Bool: PQEncodable {
  public static var postgresType: PQType { .bool }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(self ? 1 : 0)
  }
}

extension PQEncodable where Self: FixedWidthInteger {
  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(self)
  }
}

extension Int16: PQEncodable {
  public static var postgresType: PQType { .int2 }
}

extension Int32: PQEncodable {
  public static var postgresType: PQType { .int4 }
}

extension Int64: PQEncodable {
  public static var postgresType: PQType { .int8 }
}

extension Int: PQEncodable {
  public static var postgresType: PQType { .int8 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(Int64(self))
  }
}

extension Float: PQEncodable {
  public static var postgresType: PQType { .float4 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(bitPattern)
  }
}

extension Double: PQEncodable {
  public static var postgresType: PQType { .float8 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(bitPattern)
  }
}

extension String: PQEncodable {
  public static var postgresType: PQType { .text }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(contentsOf: utf8)
  }
}

extension ArraySlice<UInt8>: PQEncodable {
  public static var postgresType: PQType { .bytea }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(contentsOf: self)
  }
}

extension [UInt8] {
  mutating func appendBigEndian(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }
}
