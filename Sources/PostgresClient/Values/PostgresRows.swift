/// The result of a statement, in memory as a whole. Statements that could return much need a LIMIT.
public struct PostgresRows: Sendable, RandomAccessCollection {
  let result: QueryResult

  public var startIndex: Int { 0 }
  public var endIndex: Int { Int(result.rowCount) }

  public subscript(position: Int) -> PostgresRow {
    precondition(indices.contains(position), "row \(position) of \(count)")
    return PostgresRow(result: result, index: Int32(position))
  }

  /// How many rows INSERT, UPDATE, DELETE, MERGE, COPY, or SELECT touched or returned; 0 for other statements.
  public var affectedRows: Int { result.affectedRows }
}
