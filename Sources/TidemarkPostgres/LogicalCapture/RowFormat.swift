import Tidemark

/// How rows of the captured table are written as JSON.
struct RowFormat {
  let columns: [JSONFormat.Attribute]
  /// Where the key's columns are, in the key's order.
  let keys: [Int]

  /// - Parameter formats: those of the columns' types.
  /// - Throws: `unsupported` when the table has no column of a key's name any more.
  init(_ relation: OutputMessage.Relation, keyColumns: [String], formats: [UInt32: JSONFormat]) throws {
    columns = relation.columns.map { column in
      JSONFormat.Attribute(
        label: JSONText.quoted(column.name) + [UInt8(ascii: ":")],
        format: formats[column.type] ?? .text
      )
    }
    keys = try keyColumns.map { key in
      guard let index = relation.columns.firstIndex(where: { $0.name == key }) else {
        throw TidemarkError(
          .unsupported,
          "The table \(relation.schema).\(relation.name) has no column \(key) any more, which is part of its key.",
          advice: "Disable the stream and enable it again: that is a new stream with the table's new key."
        )
      }
      return index
    }
  }

  func appendImage(of row: TupleFields, to json: inout [UInt8]) throws {
    json.append(UInt8(ascii: "{"))
    try check(row)
    for index in columns.indices {
      if index > 0 { json.append(UInt8(ascii: ",")) }
      try appendColumn(index, of: row, to: &json)
    }
    json.append(UInt8(ascii: "}"))
  }

  func appendKey(of row: TupleFields, to json: inout [UInt8]) throws {
    json.append(UInt8(ascii: "{"))
    try check(row)
    var isFirst = true
    for index in keys {
      if !isFirst { json.append(UInt8(ascii: ",")) }
      isFirst = false
      try appendColumn(index, of: row, to: &json)
    }
    json.append(UInt8(ascii: "}"))
  }

  func hasSameKey(_ old: TupleFields, _ new: TupleFields) -> Bool {
    keys.allSatisfy { old.fields[$0] == new.fields[$0] }
  }

  private func check(_ row: TupleFields) throws {
    guard row.fields.count == columns.count else {
      throw TidemarkError.undecodable("a row of \(row.fields.count) columns in a table of \(columns.count)")
    }
  }

  private func appendColumn(_ index: Int, of row: TupleFields, to json: inout [UInt8]) throws {
    json.append(contentsOf: columns[index].label)
    switch row.fields[index] {
    case .text(let text): try JSONText.append(text, as: columns[index].format, to: &json)
    case .null, .unchanged: json.append(contentsOf: "null".utf8)
    }
  }
}
