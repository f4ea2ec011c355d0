import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// An item is what PostgreSQL takes for one: keys that are equal to the index are the same text, whatever way they were
/// written.
@Suite("An item's key", .sharesMachine)
struct ItemKeyTests {
  struct Spellings: Sendable, CustomTestStringConvertible {
    var type: String
    /// Literals that are equal to the type.
    var equal: [String]
    var key: String
    var testDescription: String { "\(type): \(equal)" }
  }

  private static let spellings = [
    Spellings(type: "numeric", equal: ["1.0", "1", "1.00", "1e0"], key: "1"),
    Spellings(type: "numeric", equal: ["0.0", "-0", "0"], key: "0"),
    Spellings(type: "numeric", equal: ["100", "1e2", "100.000"], key: "100"),
    Spellings(type: "numeric", equal: ["-12.5", "-12.50"], key: "-12.5"),
    Spellings(type: "numeric(9, 3)", equal: ["2.5", "2.500"], key: "2.5"),
    Spellings(type: "numeric", equal: ["'NaN'", "'nan'"], key: #""NaN""#),
    Spellings(type: "price", equal: ["7.10", "7.1"], key: "7.1"),
    Spellings(type: "double precision", equal: ["0", "'-0'"], key: "0"),
    Spellings(type: "double precision", equal: ["1.50", "15e-1"], key: "1.5"),
    Spellings(type: "double precision", equal: ["1e30", "10e29"], key: "1e+30"),
    Spellings(type: "real", equal: ["'-0'", "0"], key: "0"),
    Spellings(type: "angle", equal: ["'-0'", "0"], key: "0"),
    Spellings(type: "bpchar", equal: ["'a '", "'a'", "'a   '"], key: #""a""#),
    Spellings(type: "char(4)", equal: ["'a '", "'a'"], key: #""a""#),
    Spellings(type: "code", equal: ["'a '", "'a'"], key: #""a""#),
    Spellings(type: "text", equal: ["'1.0 '"], key: #""1.0 ""#),
    Spellings(type: "varchar(9)", equal: ["'-0'"], key: #""-0""#),
    Spellings(type: "bigint", equal: ["100"], key: "100"),
    Spellings(type: "mood", equal: ["'glad'"], key: #""glad""#),
    Spellings(
      type: "timestamptz",
      equal: ["'2026-01-01 12:00+00'", "'2026-01-01 13:00+01'"],
      key: #""2026-01-01T12:00:00+00:00""#
    ),
    Spellings(type: "inet", equal: ["'10.0.0.1'", "'10.0.0.1/32'"], key: #""10.0.0.1""#),
    Spellings(
      type: "integer[]",
      equal: ["'{1,2}'", "ARRAY[1, 2]"],
      key: "[1,2]"
    ),
    Spellings(type: "int4range", equal: ["'[1,3)'", "'[1,2]'", "'(0,3)'"], key: #""[1,3)""#),
    Spellings(type: "place", equal: ["ROW(1, 'x')"], key: #"{"n":1,"at":"x"}"#),
    Spellings(
      type: "uuid",
      equal: ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'{a0eebc999c0b4ef8bb6d6bb9bd380a11}'"],
      key: #""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#
    ),
  ]

  private static let types = """
    CREATE DOMAIN price AS numeric; CREATE DOMAIN angle AS real; CREATE DOMAIN code AS char(3);
    CREATE TYPE place AS (n int, at text); CREATE TYPE mood AS ENUM ('glad', 'sad');
    """

  @Test("Equal values are one item, by both captures", arguments: spellings)
  func oneItem(spellings: Spellings) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(Self.types)
    let key = #"{"id":\#(spellings.key)}"#
    for capture in StreamCapture.allCases {
      let table = capture.rawValue.lowercased()
      try await database.run("CREATE TABLE \(table) (id \(spellings.type) PRIMARY KEY, v int)")
      try await database.admin.enable(table: table, viewType: .keysOnly, capture: capture, shardCount: 4)
      // Each way to write it is inserted and deleted by another, changed into it, and emptied.
      for value in spellings.equal {
        try await database.run("INSERT INTO \(table) VALUES (\(value), 1)")
        try await database.run("DELETE FROM \(table) WHERE id = \(spellings.equal[0])::\(spellings.type)")
      }
      try await database.run("INSERT INTO \(table) VALUES (\(spellings.equal[0]), 1)")
      for value in spellings.equal {
        try await database.run("UPDATE \(table) SET id = \(value), v = v + 1")
      }
      try await database.run("TRUNCATE \(table); INSERT INTO \(table) VALUES (\(spellings.equal.last!), 1)")
      let records = try await database.stream(table).readAll()
      let expected =
        spellings.equal.flatMap { _ in ["INSERT \(key)", "REMOVE \(key)"] } + ["INSERT \(key)"]
        + spellings.equal.map { _ in "MODIFY \(key)" } + ["REMOVE \(key)", "INSERT \(key)"]
      #expect(records.map(\.summary) == expected, "\(capture)")
    }
  }

  @Test(
    "A key whose equal values have no common spelling is refused, with the reason",
    arguments: [
      "interval", "jsonb", "numeric[]", "interval[]", "numrange", "bpchar[]", "pair", "tsvector", "citext",
    ]
  )
  func refused(type: String) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TYPE pair AS (a int, b numeric); CREATE EXTENSION citext")
    try await expectRefusal(of: type, in: database)
  }

  @Test("A key whose collation takes different texts for equal is refused, with the reason")
  func collations() async throws {
    let database = try await StreamDatabase.make()
    // Only ICU has them, which some servers are built without.
    guard try await database.number("SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'") > 0
    else {
      return
    }
    try await database.run(
      """
      CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE DOMAIN blind_text AS text COLLATE blind
      """
    )
    for type in ["text COLLATE blind", "blind_text"] {
      try await expectRefusal(of: type, in: database)
      try await database.run("DROP TABLE item")
    }
  }

  private func expectRefusal(of type: String, in database: StreamDatabase) async throws {
    try await database.run("CREATE TABLE item (n int, id \(type), PRIMARY KEY (n, id))")
    for capture in StreamCapture.allCases {
      let error = try await #require(throws: TidemarkError.self) {
        try await database.admin.enable(table: "item", capture: capture)
      }
      #expect(error.code == .unsupported)
      #expect(error.message.contains("the column id of the primary key of"), "\(error)")
      #expect(error.message.contains(try #require(type.split(separator: " ").last)), "\(error)")
    }
  }

  @Test(
    "A key keeps its items when its type becomes a domain or a domain's, or gets another name",
    arguments: StreamCapture.allCases
  )
  func domains(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      Self.types
        + """
        CREATE DOMAIN ticket AS uuid;
        CREATE TABLE item (n numeric, m mood, u uuid, v int, PRIMARY KEY (n, m, u))
        """
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture, shardCount: 1)
    let unique = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    try await database.run("INSERT INTO item VALUES (1.0, 'glad', '\(unique)', 1)")
    let changes = [
      "ALTER TABLE item ALTER n TYPE price", "ALTER DOMAIN price RENAME TO cost",
      "ALTER TABLE item ALTER n TYPE int", "ALTER TABLE item ALTER n TYPE cost",
      "ALTER TABLE item ALTER n TYPE numeric", "ALTER TYPE mood RENAME TO temper",
      "ALTER TABLE item ALTER m TYPE text", "ALTER TABLE item ALTER u TYPE ticket",
    ]
    for change in changes {
      try await database.run("\(change); UPDATE item SET n = n * 1.0, v = v + 1")
      #expect(try await database.admin.conditions().allSatisfy { $0.problem == nil }, "\(change)")
    }
    let key = #"{"n":1,"m":"glad","u":"\#(unique)"}"#
    let records = try await database.stream("item").readAll().map(\.summary)
    #expect(records == ["INSERT \(key)"] + changes.map { _ in "MODIFY \(key)" })
  }

  @Test(
    "A key that gets another type keeps its items while equal values are written alike, and else is a problem"
  )
  func anotherType() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, v int)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 4)
    func problems() async throws -> [String] {
      try await database.admin.conditions().filter { $0.problem != nil }.map(\.name)
    }
    try await database.run("INSERT INTO item VALUES (1, 1); ALTER TABLE item ALTER id TYPE numeric(9, 2)")
    try await database.run(
      "UPDATE item SET v = 2; ALTER TABLE item ALTER id TYPE bigint; UPDATE item SET v = 3"
    )
    #expect(try await problems() == [])
    let keys = try await database.stream("item").readAll().map(\.partitionKey)
    #expect(keys == Array(repeating: #"{"id":1}"#, count: 3))
    try await database.run("ALTER TABLE item ALTER id TYPE text; INSERT INTO item VALUES ('abc', 1)")
    #expect(try await problems() == ["key type"])
    try await database.run("ALTER TABLE item ALTER id TYPE double precision USING random()")
    #expect(try await problems() == ["key type"])
  }
}
