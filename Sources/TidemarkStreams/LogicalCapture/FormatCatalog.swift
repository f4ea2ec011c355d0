import LibPQ
import Tidemark
import TidemarkPostgres

/// What the database says about types, as far as it matters for their JSON.
struct FormatCatalog {
  struct Entry {
    var base: UInt32
    var element: UInt32
    var elementDelimiter: UInt8
    var attributeNames: [ServerText]
    var attributeTypes: [UInt32]
  }

  private let entries: [UInt32: Entry]

  init(_ entries: [UInt32: Entry]) {
    self.entries = entries
  }

  /// Looks up these types and all that they are made of. A type that is gone has no entry: its text says all.
  static func of(_ types: [UInt32], on pool: PQPool) async throws -> FormatCatalog {
    let rows = try await reading(.capture, on: pool) {
      try await pool.query(
        PQStatement(
          """
          SELECT t.oid::bigint, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE 0 END::bigint,
            CASE WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem ELSE 0 END::bigint,
            coalesce(ascii(e.typdelim::text), 0), coalesce(c.names, '{}'), coalesce(c.types, '{}')
          FROM tidemark.type_parts($1::oid[]) AS p (type) JOIN pg_type t ON t.oid = p.type LEFT JOIN pg_type e ON e.oid = t.typelem
          LEFT JOIN LATERAL (
            SELECT array_agg(convert_to(a.attname, getdatabaseencoding()) ORDER BY a.attnum) AS names,
              array_agg(a.atttypid::bigint ORDER BY a.attnum) AS types
            FROM pg_attribute a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS c ON true
          """,
          types.map(Int64.init)
        )
      )
    }
    var entries: [UInt32: Entry] = [:]
    for row in rows {
      let (type, base, element, delimiter, names, types) = try row.decode(
        (Int64, Int64, Int64, Int32, [[UInt8]], [Int64]).self
      )
      entries[UInt32(type)] = Entry(
        base: UInt32(base),
        element: UInt32(element),
        elementDelimiter: UInt8(delimiter),
        attributeNames: names.map { ServerText($0) },
        attributeTypes: types.map { UInt32($0) }
      )
    }
    return FormatCatalog(entries)
  }

  /// As `json_categorize_type` decides.
  func format(of type: UInt32) -> JSONFormat {
    if let format = JSONFormat.builtIn(type) { return format }
    guard let entry = entries[type] else { return .text }
    if entry.base != 0 { return format(of: entry.base) }
    if entry.element != 0 { return .array(of: format(of: entry.element), delimiter: entry.elementDelimiter) }
    if entry.attributeNames.isEmpty { return .text }
    return .composite(
      zip(entry.attributeNames, entry.attributeTypes).map { name, type in
        JSONFormat.Attribute(
          label: JSONText.quoted(name) + [UInt8(ascii: ":")],
          format: format(of: type)
        )
      }
    )
  }
}
