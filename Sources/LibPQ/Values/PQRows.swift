/// The result of a statement, in memory as a whole. Statements that could return much need a LIMIT.
public struct PQRows: Sendable, RandomAccessCollection {
  let result: QueryResult

  public var startIndex: Int { 0 }
  public var endIndex: Int { Int(result.rowCount) }

  public subscript(position: Int) -> PQRow {
    precondition(indices.contains(position), "row \(position) of \(count)")
    return PQRow(result: result, index: Int32(position))
  }

  /// How many rows INSERT, UPDATE, DELETE, MERGE, COPY, or SELECT touched or returned; 0 for other statements.
  public var affectedRows: Int { result.affectedRows }

  /// A value as the server sent it, in binary and where libpq has put it; `nil` for NULL. It is valid for as long as
  /// ``owner`` lives.
  package func bytes(row: Int, column: Int32) -> UnsafeRawBufferPointer? {
    precondition(indices.contains(row) && column < result.columnCount, "row \(row), column \(column)")
    return result.value(row: Int32(row), column: column)
  }

  package func type(ofColumn column: Int32) -> PQType { result.columnType(column) }

  /// What keeps the values in memory.
  package var owner: any AnyObject & Sendable { result }
}
