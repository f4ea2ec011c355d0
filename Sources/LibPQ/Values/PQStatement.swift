/// SQL with values that are bound, never spliced in.
///
/// `"SELECT name FROM item WHERE id = \(id)"` becomes `SELECT name FROM item WHERE id = $1`; nil binds NULL.
/// `\(identifier: table)` inserts a quoted identifier. A literal `$1` in an interpolated statement is not
/// counted: use either interpolation or ``init(_:_:)``, not both.
public struct PQStatement: Sendable, ExpressibleByStringInterpolation {
  /// The values in the binary format, one after the other in one buffer.
  struct Bindings: Sendable {
    private(set) var types: [PQType] = []
    /// Where each value is in ``bytes``; nil for NULL.
    private(set) var ranges: [Range<Int>?] = []
    private(set) var bytes: [UInt8] = []
    /// Why the first value that could not be encoded could not.
    private(set) var failure: (any Error)?

    /// The values of type text, with their numbers.
    var texts: [(index: Int, text: String)] {
      zip(1..., zip(types, ranges)).compactMap { index, value in
        guard value.0 == .text, let range = value.1 else { return nil }
        return (index, String(decoding: bytes[range], as: UTF8.self))
      }
    }

    mutating func bind(_ value: some PQEncodable) {
      // So that the buffer has an address even if all values are empty: libpq takes a nil address for NULL.
      if bytes.isEmpty { bytes.append(0) }
      types.append(type(of: value).postgresType)
      if value.isPostgresNull {
        ranges.append(nil)
        return
      }
      let start = bytes.count
      do {
        try value.encode(into: &bytes)
      } catch {
        failure = failure ?? error
      }
      ranges.append(start..<bytes.count)
    }
  }

  /// The text that is sent, with `$1`, `$2`, … where values are bound.
  public var sql: String
  var bindings: Bindings

  /// - Parameter sql: SQL with `$1` … `$n` for the `n` values.
  public init(_ sql: String, _ values: any PQEncodable...) {
    self.sql = sql
    bindings = Bindings()
    for value in values { bindings.bind(value) }
  }

  public init(stringLiteral sql: String) {
    self.sql = sql
    bindings = Bindings()
  }

  public init(stringInterpolation: StringInterpolation) {
    sql = stringInterpolation.sql
    bindings = stringInterpolation.bindings
  }

  public struct StringInterpolation: StringInterpolationProtocol {
    var sql = ""
    var bindings = Bindings()

    public init(literalCapacity: Int, interpolationCount: Int) {
      sql.reserveCapacity(literalCapacity + interpolationCount * 3)
    }

    public mutating func appendLiteral(_ literal: String) {
      sql += literal
    }

    public mutating func appendInterpolation(_ value: some PQEncodable) {
      bindings.bind(value)
      sql += "$\(bindings.types.count)"
    }

    /// Binds NULL for nil. Besides the general form since the compiler warns of optionals in interpolations that
    /// do not name them.
    public mutating func appendInterpolation<Value: PQEncodable>(_ value: Value?) {
      bindings.bind(value)
      sql += "$\(bindings.types.count)"
    }

    /// Inserts the name of a table, column, channel or the like, quoted. A qualified name is two of them:
    /// `\(identifier: schema).\(identifier: table)`.
    public mutating func appendInterpolation(identifier: String) {
      sql += quotedIdentifier(identifier)
    }
  }
}

/// Doubling quotes is the whole rule for identifiers; a NUL cannot be part of one and would end the C string.
func quotedIdentifier(_ name: String) -> String {
  var quoted = "\""
  for scalar in name.unicodeScalars where scalar != "\0" {
    if scalar == "\"" { quoted += "\"" }
    quoted.unicodeScalars.append(scalar)
  }
  return quoted + "\""
}
