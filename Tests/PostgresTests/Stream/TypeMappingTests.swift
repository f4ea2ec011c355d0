import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("Type mapping", .sharesMachine)
struct TypeMappingTests {
  /// A row of the table in the documentation.
  private struct Row: CustomStringConvertible {
    var type: String
    var value: String
    var json: String
    var attributeValue: String
    /// Types' names, and what is printed of the value where the table says so.
    var swift: [(type: String, printed: String?)]

    var description: String { "\(type) \(value)" }

    init?(_ line: Substring) {
      let cells = line.dropFirst().dropLast().split(separator: " | ", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      guard cells.count == 5, cells[1].hasPrefix("`") else { return nil }
      let codes = cells.map { Self.codes(in: $0) }
      (type, value, json, attributeValue) = (cells[0], codes[1][0], codes[2][0], codes[3][0])
      // Each `type` has a colon and what is printed after it, or neither.
      swift = codes[4].indices.compactMap { index in
        if index > 0, cells[4].contains("`\(codes[4][index - 1])`: `\(codes[4][index])`") { return nil }
        let next = index + 1 < codes[4].count ? codes[4][index + 1] : ""
        return (codes[4][index], cells[4].contains("`\(codes[4][index])`: `\(next)`") ? next : nil)
      }
    }

    /// What is in backticks.
    private static func codes(in cell: String) -> [String] {
      cell.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }
        .map {
          String($0.element)
        }
    }
  }

  private static func rows() throws -> [Row] {
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../..")
    let page = root.appending(path: "Sources/TidemarkStreams/Documentation.docc/TypeMapping.md")
    return try String(contentsOf: page, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("|") }
      .compactMap { Row($0) }
  }

  private struct Value<Column: Decodable>: Decodable { var value: Column }

  private static func printed<Column: Decodable>(_ type: Column.Type, _ image: Image) throws -> String {
    String(describing: try image.decode(as: Value<Column>.self).value)
  }

  /// - Returns: `nil` for what is no type that the table may name.
  fileprivate static func printed(as type: String, _ image: Image) throws -> String? {
    switch type {
    case "Bool": try printed(Bool.self, image)
    case "Int": try printed(Int.self, image)
    case "Int16": try printed(Int16.self, image)
    case "Int32": try printed(Int32.self, image)
    case "Int64": try printed(Int64.self, image)
    case "UInt64": try printed(UInt64.self, image)
    case "Float": try printed(Float.self, image)
    case "Double": try printed(Double.self, image)
    case "Decimal": try printed(Decimal.self, image)
    case "String": try printed(String.self, image)
    case "Data": try printed(Data.self, image)
    case "[UInt8]": try printed([UInt8].self, image)
    case "UUID": try printed(UUID.self, image)
    case "Date": try printed(Date.self, image)
    case "Int?": try printed(Int?.self, image)
    case "[Int?]": try printed([Int?].self, image)
    case "[[Int]]": try printed([[Int]].self, image)
    case "[String]": try printed([String].self, image)
    case "[String: Decimal]": try printed([String: Decimal].self, image)
    case "Timestamp": "\(try image.decode(as: Value<Timestamp>.self).value.microsecondsSinceEpoch)"
    default: nil
    }
  }

  /// The column type for what the table names in words.
  private func sqlType(_ cell: String) -> String {
    switch cell {
    case "an enum": "order_status"
    case "a domain over `integer`": "number_domain"
    case "a domain over `text`": "text_domain"
    case "a composite type": "pair"
    case "any type": "integer"
    default: cell.replacing("`", with: "")
    }
  }

  @Test("Every row of the documented table is what the server and the decoder do")
  func table() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TYPE order_status AS ENUM ('open', 'paid');
      CREATE DOMAIN number_domain AS integer;
      CREATE DOMAIN text_domain AS text;
      CREATE TYPE pair AS (number integer, name text);
      """
    )
    let rows = try Self.rows()
    #expect(rows.count >= 40)
    let expected = rows.enumerated().map { #","value_\#($0)":\#($1.json)"# }.joined()
    #expect(try await image(of: rows, in: database).description == #"{"id":1\#(expected)}"#)
    for row in rows {
      let image = Image(#"{"value":\#(row.json)}"#)
      #expect(try image.attributeValues()["value"]?.dynamoDBJSON == row.attributeValue, "\(row)")
      for (type, printed) in row.swift {
        let value = try #require(try Self.printed(as: type, image), "\(type) of \(row)")
        if let printed { #expect(value == printed, "\(row) as \(type)") }
      }
    }
    #expect(rows.reduce(0) { $0 + $1.swift.count } >= 45)
  }

  /// What the stream makes of the values when a session writes them that spells them otherwise.
  private func image(of rows: [Row], in database: StreamDatabase) async throws -> Image {
    let columns = rows.enumerated().map { ", value_\($0) \(sqlType($1.type))" }.joined()
    let values = rows.map { row in
      row.value == "NULL"
        ? ", NULL" : ", '" + row.value.dropFirst().dropLast().replacing("'", with: "''") + "'"
    }.joined()
    try await database.run("CREATE TABLE mapping (id int PRIMARY KEY\(columns))")
    try await database.admin.enable(table: "mapping", shardCount: 1)
    try await database.run(
      """
      SET timezone = 'Asia/Kolkata'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601';
      SET bytea_output = 'escape'; SET extra_float_digits = -10;
      INSERT INTO mapping VALUES (1\(values));
      RESET ALL
      """
    )
    let records = try await database.stream("mapping").readAll()
    return try #require(records.first?.change?.newImage)
  }
}
