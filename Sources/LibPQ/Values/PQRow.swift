import CLibPQ

/// One row of a result: a view over what libpq received, copied only when decoded.
public struct PQRow: Sendable {
  let result: QueryResult
  let index: Int32

  /// Decodes all columns in order: `let (id, name) = try row.decode((Int64, String?).self)`.
  ///
  /// - Throws: ``PQError`` with ``PQError/Code/decoding`` when the number of columns or a type
  ///   differs, or for a NULL without an `Optional`.
  public func decode<each T: PQDecodable>(
    _ types: (repeat each T).Type = (repeat each T).self
  ) throws -> (repeat each T) {
    var count: Int32 = 0
    for _ in repeat (each T).self { count += 1 }
    try checkColumnCount(count)
    var column: Int32 = -1
    return (repeat try decode(next(&column), as: (each T).self))
  }

  /// Decodes the only column of the row.
  public func decode<T: PQDecodable>(_ type: T.Type = T.self) throws -> T {
    try checkColumnCount(1)
    return try decode(0, as: type)
  }

  /// Decodes the column with this name; the first one when several have it.
  public func decode<T: PQDecodable>(_ column: String, as type: T.Type = T.self) throws -> T {
    guard let number = result.columnNumber(of: column) else {
      throw PQError(.decoding, "The result has no column \(quotedIdentifier(column)).")
    }
    return try decode(number, as: type)
  }

  private func checkColumnCount(_ count: Int32) throws {
    guard count == result.columnCount else {
      throw PQError(.decoding, "The row has \(result.columnCount) columns; \(count) were asked for.")
    }
  }

  private func next(_ column: inout Int32) -> Int32 {
    column += 1
    return column
  }

  private func decode<T: PQDecodable>(_ column: Int32, as type: T.Type) throws -> T {
    guard let bytes = result.value(row: index, column: column) else {
      if let null = T.postgresNull { return null }
      throw PQError.unexpectedNull(in: "column \(quotedIdentifier(result.columnName(column)))")
    }
    return try T(postgresBinary: bytes, type: result.columnType(column))
  }
}
