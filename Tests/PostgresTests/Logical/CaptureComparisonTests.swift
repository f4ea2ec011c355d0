import TestSupport
import Testing
import Tidemark
import TidemarkStreams

/// Capture by trigger has the server write the JSON, capture by decoding does it here.
@Suite("Both captures of the same changes", .sharesMachine)
struct CaptureComparisonTests {
  /// Column type and values, as SQL.
  private static let columns: [(type: String, values: [String])] = [
    ("bool", ["true", "false"]),
    ("int2", ["-32768", "0"]),
    ("int8", ["9223372036854775807", "-1"]),
    (
      "numeric",
      ["'NaN'", "'Infinity'", "'-Infinity'", "1.10", "-0.0001", "1e30", "123456789012345678901234567890.5"]
    ),
    ("float4", ["1.5e-7", "'NaN'", "'-Infinity'", "'-0'"]),
    ("float8", ["0.1", "1e300", "1e-300", "'Infinity'", "3"]),
    (
      "text",
      [
        "''", #"'a "b" \ / é 😀'"#, "E'\\x01\\x1f\\x7f\\b\\f\\n\\r\\t'", "'NULL'", "'{1,2}'",
        "repeat('long ', 5000)",
      ]
    ),
    ("varchar(5)", ["'x'"]), ("char(5)", ["'x'"]), (#""char""#, ["'c'"]), ("name", ["'n'"]),
    ("bytea", [#"'\x00ff'"#, "''"]),
    ("json", [#"'{"b" : [1,  2]}'"#, "E'[\\n1\\n]'", "'null'"]),
    ("jsonb", [#"'{"b":1,"a":"\u00e9"}'"#, "'\"x\"'", "'1.10'"]),
    ("date", ["'2026-02-28'", "'infinity'", "'0044-03-15 BC'"]),
    ("time", ["'01:02:03.000004'"]), ("timetz", ["'01:02:03+05:30'"]),
    ("timestamp", ["'2026-02-28 01:02:03.4'", "'-infinity'", "'0044-03-15 10:00 BC'", "'10000-01-01'"]),
    ("timestamptz", ["'2026-02-28 01:02:03.4+05:30'", "'infinity'", "'0044-03-15 10:00 BC'"]),
    ("interval", ["'1 year -2 days 03:04:05.6'"]),
    ("uuid", ["'00000000-0000-0000-0000-00000000000a'"]), ("inet", ["'10.0.0.1/8'"]),
    ("macaddr", ["'08:00:2b:01:02:03'"]),
    ("bit(3)", ["B'101'"]), ("varbit", ["B''"]), ("point", ["'(1,2.5)'"]), ("box", ["'(1,2),(3,4)'"]),
    ("money", ["12.34"]), ("tsvector", ["'a b:1'"]), ("xml", ["'<a b=\"c\"/>'"]), ("oid", ["7"]),
    ("xid8", ["'7'"]),
    ("regclass", ["'pg_class'"]), ("pg_lsn", ["'1/2'"]), ("jsonpath", ["'$.a'"]),
    ("int2vector", ["'1 2'", "''"]), ("oidvector", ["'1 2'"]),
    ("int4range", ["'[1,5)'", "'empty'"]), ("tstzrange", ["'[2026-01-01,2026-01-02)'"]),
    ("int4multirange", ["'{[1,2),[5,7)}'"]),
    ("mood", [#"'it''s "ok"'"#]), ("positive", ["7"]), ("positives", ["'{1,2}'"]), ("label", ["'a'"]),
    ("int4[]", ["'{}'", "'{1,NULL,3}'", "'{{1,2},{3,NULL}}'", "'[0:1]={5,6}'", "'{{{1},{2}},{{3},{4}}}'"]),
    (
      "text[]",
      [
        #"'{"",NULL,"NULL",null,"a,b","q\"q","b\\b","{}"," s ",é}'"#, "ARRAY[E'\\n\\x01', '\\']",
        "'{{a,b},{c,d}}'",
      ]
    ),
    ("bool[]", ["'{t,f,NULL}'"]), ("float8[]", ["'{1,NaN,Infinity,1e300}'"]), ("numeric[]", ["'{1.10,NaN}'"]),
    ("timestamptz[]", ["ARRAY['2026-01-01 00:00Z', NULL, 'infinity']::timestamptz[]"]),
    ("timestamp[]", ["ARRAY['2026-01-01 00:00']::timestamp[]"]), ("date[]", ["'{2026-01-01}'"]),
    ("jsonb[]", [#"ARRAY['{"a": [1, "x,y"]}', 'null']::jsonb[]"#]),
    ("json[]", [#"ARRAY['{"a" : 1}']::json[]"#]),
    ("bytea[]", [#"ARRAY['\x00'::bytea, '']"#]), ("box[]", ["ARRAY[box '(1,2),(3,4)', box '(5,6),(7,8)']"]),
    ("mood[]", [#"ARRAY['it''s "ok"', NULL]::mood[]"#]), ("positive[]", ["'{1,2}'"]),
    (
      "pair",
      [#"ROW(1, E'a "b" \\ (c), d', NULL)"#, "ROW(NULL, '', '2026-01-01 00:00Z')", "ROW(NULL, NULL, NULL)"]
    ),
    ("pair[]", [#"ARRAY[ROW(1, 'x,"y"\', '2026-01-01 00:00Z'), NULL, ROW(NULL, NULL, NULL)]::pair[]"#]),
    (
      "nest",
      [
        #"ROW(ROW(1, 'a"b', NULL), ARRAY['x y', NULL, '"'], '{"k": "v"}', true)"#,
        "ROW(NULL, '{}', NULL, NULL)",
      ]
    ),
  ]

  private static let types = #"""
    CREATE TYPE mood AS ENUM ('it''s "ok"', 'b');
    CREATE DOMAIN positive AS int CHECK (value > 0); CREATE DOMAIN positives AS positive[]; CREATE DOMAIN label AS text;
    CREATE TYPE pair AS (id int, "a ""name""" text, at timestamptz);
    CREATE TYPE nest AS (pair pair, texts text[], body jsonb, yes bool);
    """#

  @Test("They write the same bytes, whatever the type and the value")
  func sameBytes() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(Self.types)
    for (table, capture) in [("decoded", StreamCapture.logical), ("triggered", .trigger)] {
      let columns = Self.columns.enumerated().map { index, column in "\"c\(index) \"\"\" \(column.type)" }
      try await database.run("CREATE TABLE \(table) (id int PRIMARY KEY, \(columns.joined(separator: ", ")))")
      try await database.admin.enable(table: table, capture: capture, shardCount: 1)
      var id = 0
      for (index, column) in Self.columns.enumerated() {
        for value in column.values {
          id += 1
          try await database.run("INSERT INTO \(table) (id, \"c\(index) \"\"\") VALUES (\(id), \(value))")
        }
      }
      try await database.run("INSERT INTO \(table) (id) VALUES (0)")
      // The large value of one row is left as it is, and others are changed and taken away.
      try await database.run("UPDATE \(table) SET \"c0 \"\"\" = true; DELETE FROM \(table) WHERE id % 2 = 0")
      try await database.run("TRUNCATE \(table)")
    }
    let decoded = try await database.stream("decoded").readAll().map(\.summary)
    let triggered = try await database.stream("triggered").readAll().map(\.summary)
    #expect(decoded.count > 250)
    #expect(decoded.count == triggered.count)
    for (one, other) in zip(decoded, triggered) { #expect(one == other) }
  }

  @Test("They agree on keys of every kind")
  func sameKeys() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(Self.types)
    for (table, capture) in [("decoded", StreamCapture.logical), ("triggered", .trigger)] {
      try await database.run(
        """
        CREATE TABLE \(table) (at timestamptz, size float8, name text, ids int[], pair pair, feeling mood, body int,
          PRIMARY KEY (name, at, size, ids, pair, feeling))
        """
      )
      try await database.admin.enable(table: table, viewType: .keysOnly, capture: capture, shardCount: 1)
      try await database.run(
        #"""
        INSERT INTO \#(table) VALUES ('2026-01-01 00:00Z', 'NaN', E'a"\\b', '{1,NULL}', ROW(1, 'x', NULL), 'b', 1);
        UPDATE \#(table) SET body = 2; UPDATE \#(table) SET name = 'other'; DELETE FROM \#(table)
        """#
      )
    }
    let decoded = try await database.stream("decoded").readAll().map(\.summary)
    #expect(decoded.count == 5)
    #expect(try await database.stream("triggered").readAll().map(\.summary) == decoded)
  }
}
