import Tidemark

/// How rows of the captured table are written as JSON.
struct RowFormat {
  let columns: [JSONFormat.Attribute]
  /// Where the key's columns are, in the key's order.
  let keys: [Int]
  private let maximumImageSize: Int

  /// - Parameters:
  ///   - formats: those of the columns' types.
  ///   - maximumImageSize: how many bytes an image may have; in a larger one's place stands `null`.
  /// - Throws: `unsupported` when the table has no column of a key's name any more.
  init(
    _ relation: OutputMessage.Relation,
    keyColumns: [ServerText],
    formats: [UInt32: JSONFormat],
    maximumImageSize: Int
  ) throws {
    self.maximumImageSize = maximumImageSize
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
    try check(row)
    let start = json.count
    if leastImageSize(of: row) <= maximumImageSize {
      json.append(UInt8(ascii: "{"))
      for index in columns.indices {
        if index > 0 { json.append(UInt8(ascii: ",")) }
        try append(row.fields[index], of: index, to: &json)
      }
      json.append(UInt8(ascii: "}"))
      if json.count - start <= maximumImageSize { return }
    }
    json.removeSubrange(start...)
    json.append(contentsOf: "null".utf8)
  }

  /// A number of bytes of which the image has no fewer, found without writing it: what is text does not become shorter.
  private func leastImageSize(of row: TupleFields) -> Int {
    var size = 0
    for case (.text(let text), .text) in zip(row.fields, columns.lazy.map(\.format)) { size += text.count }
    return size
  }

  func appendKey(of row: TupleFields, to json: inout [UInt8]) throws {
    json.append(UInt8(ascii: "{"))
    try check(row)
    var isFirst = true
    for index in keys {
      if !isFirst { json.append(UInt8(ascii: ",")) }
      isFirst = false
      try append(keyField(index, of: row), of: index, to: &json)
    }
    json.append(UInt8(ascii: "}"))
  }

  func hasSameKey(_ old: TupleFields, _ new: TupleFields) -> Bool {
    keys.allSatisfy { keyField($0, of: old) == keyField($0, of: new) }
  }

  private func keyField(_ index: Int, of row: TupleFields) -> TupleFields.Field {
    guard case .text(let text) = row.fields[index] else { return row.fields[index] }
    return .text(KeySpelling.of(text, as: columns[index].format))
  }

  private func check(_ row: TupleFields) throws {
    guard row.fields.count == columns.count else {
      throw TidemarkError.undecodable("a row of \(row.fields.count) columns in a table of \(columns.count)")
    }
  }

  private func append(_ field: TupleFields.Field, of index: Int, to json: inout [UInt8]) throws {
    json.append(contentsOf: columns[index].label)
    switch field {
    case .text(let text): try JSONText.append(text, as: columns[index].format, to: &json)
    case .null, .unchanged: json.append(contentsOf: "null".utf8)
    }
  }
}
