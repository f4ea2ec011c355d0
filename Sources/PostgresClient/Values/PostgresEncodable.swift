/// A value that can be bound to a statement, in PostgreSQL's binary format.
///
/// The library conforms `Bool`, `Int16`, `Int32`, `Int64`, `Int` (int8), `Double`, `Float`, `String` (text),
/// `[UInt8]` and `ArraySlice<UInt8>` (bytea), one-dimensional arrays of these, and optionals. For any other
/// type bind text and cast it in the statement: `\(text)::uuid`.
public protocol PostgresEncodable: Sendable {
  static var postgresType: PostgresType { get }
  /// Whether this is NULL; then ``encode(into:)`` is not called.
  var isPostgresNull: Bool { get }
  /// Appends the value in the binary format of ``postgresType``.
  func encode(into bytes: inout [UInt8])
}

extension PostgresEncodable {
  public var isPostgresNull: Bool { false }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
  public static var postgresType: PostgresType { Wrapped.postgresType }

  public var isPostgresNull: Bool { self?.isPostgresNull ?? true }

  public func encode(into bytes: inout [UInt8]) {
    self?.encode(into: &bytes)
  }
}

extension Bool: PostgresEncodable {
  public static var postgresType: PostgresType { .bool }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(self ? 1 : 0)
  }
}

extension Int16: PostgresEncodable {
  public static var postgresType: PostgresType { .int2 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(self)
  }
}

extension Int32: PostgresEncodable {
  public static var postgresType: PostgresType { .int4 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(self)
  }
}

extension Int64: PostgresEncodable {
  public static var postgresType: PostgresType { .int8 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(self)
  }
}

extension Int: PostgresEncodable {
  public static var postgresType: PostgresType { .int8 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(Int64(self))
  }
}

extension Float: PostgresEncodable {
  public static var postgresType: PostgresType { .float4 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(bitPattern)
  }
}

extension Double: PostgresEncodable {
  public static var postgresType: PostgresType { .float8 }

  public func encode(into bytes: inout [UInt8]) {
    bytes.appendBigEndian(bitPattern)
  }
}

extension String: PostgresEncodable {
  public static var postgresType: PostgresType { .text }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(contentsOf: utf8)
  }
}

extension ArraySlice<UInt8>: PostgresEncodable {
  public static var postgresType: PostgresType { .bytea }

  public func encode(into bytes: inout [UInt8]) {
    bytes.append(contentsOf: self)
  }
}

extension [UInt8] {
  mutating func appendBigEndian(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }
}
