import CLibPQ

/// Owns a `PGresult`.
///
/// `@unchecked Sendable`: a `PGresult` is never changed after libpq returned it, libpq documents reading it
/// from several threads as safe, and it is cleared once, when the last view is gone.
final class QueryResult: @unchecked Sendable {
  private let result: OpaquePointer

  init(_ result: OpaquePointer) {
    self.result = result
  }

  deinit {
    PQclear(result)
  }

  var status: ExecStatusType { PQresultStatus(result) }
  var rowCount: Int32 { PQntuples(result) }
  var columnCount: Int32 { PQnfields(result) }
  var affectedRows: Int { Int(String(cString: PQcmdTuples(result))) ?? 0 }

  func columnName(_ column: Int32) -> String {
    PQfname(result, column).map { String(cString: $0) } ?? ""
  }

  func columnType(_ column: Int32) -> PQType {
    PQType(rawValue: PQftype(result, column))
  }

  func columnNumber(of name: String) -> Int32? {
    // Not PQfnumber: it folds case as if the name were SQL.
    (0..<columnCount).first { PQfname(result, $0).map { String(cString: $0) } == name }
  }

  func value(row: Int32, column: Int32) -> UnsafeRawBufferPointer? {
    if PQgetisnull(result, row, column) == 1 { return nil }
    return UnsafeRawBufferPointer(
      start: PQgetvalue(result, row, column),
      count: Int(PQgetlength(result, row, column))
    )
  }

  /// The server's error, or libpq's own when the connection broke.
  var error: PQError {
    let sqlState = field("C")
    return PQError(
      .server,
      field("M") ?? trimmed(String(cString: PQresultErrorMessage(result))),
      sqlState: sqlState,
      detail: field("D"),
      hint: field("H")
    )
  }

  /// Whether the server closes the session after this error.
  var isFatal: Bool {
    let severity = field("V")
    return severity == "FATAL" || severity == "PANIC"
  }

  /// - Parameter code: https://www.postgresql.org/docs/15/protocol-error-fields.html
  private func field(_ code: Unicode.Scalar) -> String? {
    PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
  }
}

/// libpq's messages end in a newline, and some of their lines begin with a tab.
func trimmed(_ message: some StringProtocol) -> String {
  var message = message[...]
  while let first = message.first, first.isWhitespace { message.removeFirst() }
  while let last = message.last, last.isWhitespace { message.removeLast() }
  return String(message)
}
