/// A type whose one-dimensional arrays can be bound and read.
///
/// `UInt8` is one, too: an array of it is a `bytea`, not a PostgreSQL array.
public protocol PQArrayElement: Sendable {
  static var postgresArrayType: PQType { get }
  static func encodePostgresArray(_ elements: [Self], into bytes: inout [UInt8]) throws
  static func decodePostgresArray(_ bytes: UnsafeRawBufferPointer, type: PQType) throws -> [Self]
}

extension Array: PQEncodable where Element: PQArrayElement {
  public static var postgresType: PQType { Element.postgresArrayType }

  public func encode(into bytes: inout [UInt8]) throws {
    try Element.encodePostgresArray(self, into: &bytes)
  }
}

extension Array: PQDecodable where Element: PQArrayElement {
  public init(postgresBinary bytes: UnsafeRawBufferPointer, type: PQType) throws {
    self = try Element.decodePostgresArray(bytes, type: type)
  }
}

extension PQArrayElement where Self: PQEncodable & PQDecodable {
  /// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/arrayfuncs.c `array_send`:
  /// dimensions, whether there are NULLs, element type; for each dimension its length and lower bound; then
  /// the elements, each after its length, -1 for NULL.
  public static func encodePostgresArray(_ elements: [Self], into bytes: inout [UInt8]) throws {
    bytes.appendBigEndian(Int32(elements.isEmpty ? 0 : 1))
    bytes.appendBigEndian(Int32(elements.contains(where: \.isPostgresNull) ? 1 : 0))
    bytes.appendBigEndian(postgresType.rawValue)
    if elements.isEmpty { return }
    bytes.appendBigEndian(Int32(elements.count))
    bytes.appendBigEndian(Int32(1))
    for element in elements {
      if element.isPostgresNull {
        bytes.appendBigEndian(Int32(-1))
        continue
      }
      let start = bytes.count
      bytes.appendBigEndian(Int32(0))
      try element.encode(into: &bytes)
      let length = Int32(bytes.count - start - 4)
      Swift.withUnsafeBytes(of: length.bigEndian) { bytes.replaceSubrange(start..<start + 4, with: $0) }
    }
  }

  public static func decodePostgresArray(
    _ bytes: UnsafeRawBufferPointer,
    type: PQType
  ) throws -> [Self] {
    var reader = ArrayReader(rest: bytes)
    let dimensions = try reader.next(Int32.self)
    _ = try reader.next(Int32.self)
    let elementType = PQType(rawValue: try reader.next(UInt32.self))
    if dimensions == 0 { return [] }
    guard dimensions == 1 else {
      throw PQError(.decoding, "Only one-dimensional arrays can be decoded; this has \(dimensions).")
    }
    let count = try reader.next(Int32.self)
    _ = try reader.next(Int32.self)
    return try (0..<count).map { _ in
      let length = try reader.next(Int32.self)
      if length >= 0 { return try Self(postgresBinary: reader.take(Int(length)), type: elementType) }
      guard let null = Self.postgresNull else { throw PQError.unexpectedNull(in: "an array") }
      return null
    }
  }
}

private struct ArrayReader {
  var rest: UnsafeRawBufferPointer

  mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    guard count >= 0, rest.count >= count else {
      throw PQError(
        .decoding,
        "The value is no PostgreSQL array. Select an array, or decode another type."
      )
    }
    defer { rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count)) }
    return UnsafeRawBufferPointer(rebasing: rest.prefix(count))
  }

  mutating func next<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
    try take(MemoryLayout<T>.size).loadBigEndian(T.self)
  }
}

extension Bool: PQArrayElement {
  public static var postgresArrayType: PQType { .boolArray }
}

extension Int16: PQArrayElement {
  public static var postgresArrayType: PQType { .int2Array }
}

extension Int32: PQArrayElement {
  public static var postgresArrayType: PQType { .int4Array }
}

extension Int64: PQArrayElement {
  public static var postgresArrayType: PQType { .int8Array }
}

extension Int: PQArrayElement {
  public static var postgresArrayType: PQType { .int8Array }
}

extension Float: PQArrayElement {
  public static var postgresArrayType: PQType { .float4Array }
}

extension Double: PQArrayElement {
  public static var postgresArrayType: PQType { .float8Array }
}

extension String: PQArrayElement {
  public static var postgresArrayType: PQType { .textArray }
}

extension Array: PQArrayElement where Element == UInt8 {
  public static var postgresArrayType: PQType { .byteaArray }
}

extension Optional: PQArrayElement
where Wrapped: PQArrayElement & PQEncodable & PQDecodable {
  public static var postgresArrayType: PQType { Wrapped.postgresArrayType }
}

extension UInt8: PQArrayElement {
  public static var postgresArrayType: PQType { .bytea }

  public static func encodePostgresArray(_ elements: [UInt8], into bytes: inout [UInt8]) {
    bytes.append(contentsOf: elements)
  }

  public static func decodePostgresArray(
    _ bytes: UnsafeRawBufferPointer,
    type: PQType
  ) throws -> [UInt8] {
    if type == .bytea { return [UInt8](bytes) }
    guard let text = try bytes.textContent(of: type) else {
      throw PQError.cannotDecode([UInt8].self, from: type)
    }
    return [UInt8](text)
  }
}
