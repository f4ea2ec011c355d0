import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("Names that need quotes", .sharesMachine)
struct StreamNamesTests {
  /// 63 bytes, the most that a name may have.
  private static let long = String(repeating: "é", count: 31) + "x"

  private static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }

  @Test(
    "A table is captured, expires, is read and ends, however it, its schema and its columns are called",
    arguments: [
      #"a "quoted" name"#, "100 %s %I %1$s %%", "it's; DROP TABLE t --", "dots.in.a.name", "日本 🦆 Ünïcode",
      #"back\slash $$ $1 {"json":1}"#, "SELECT", "new", "tab\tand\nline", long,
    ]
  )
  func awful(name: String) async throws {
    let database = try await StreamDatabase.make()
    let quoted = Self.quoted(name)
    // A schema's name is part of the stream's unless that is given one.
    try await database.run(
      """
      CREATE SCHEMA \(quoted);
      CREATE TABLE \(quoted).\(quoted) (\(quoted) text PRIMARY KEY, "expires %1$s "" '" timestamptz, other int);
      """
    )
    let column = #"expires %1$s " '"#
    let stream = try await database.admin.enable(
      table: "\(quoted).\(quoted)",
      name: name,
      shardCount: 1,
      expiryColumn: column
    )
    #expect(stream.name == name && stream.keyColumns == [name] && stream.settings.expiryColumn == column)
    let pool = database.pool
    try await pool.execute(
      PQStatement(
        "INSERT INTO \(quoted).\(quoted) VALUES ($1, NULL, 1), ('expired', now() - interval '1 s', 2)",
        name
      )
    )
    try await pool.execute(
      PQStatement(stringLiteral: "UPDATE \(quoted).\(quoted) SET other = 3 WHERE other = 1")
    )
    try await database.admin.maintain()
    try await database.run("TRUNCATE \(quoted).\(quoted)")
    let records = try await database.stream(name).readAll()
    #expect(records.map { $0.change?.eventName } == [.insert, .insert, .modify, .remove, .remove])
    let keys = try await database.text(
      "SELECT string_agg(DISTINCT (partition_key::json->>(SELECT key_columns[1] FROM tidemark.stream)), '|') FROM tidemark.log_1 WHERE partition_key NOT LIKE '%expired%'"
    )
    #expect(keys == name)
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_1 WHERE cause = 'E'") == 1)
    #expect(try await database.admin.disable(name).status == .disabled)
    #expect(try await database.number("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%capture'") == 0)
  }

  @Test("A role's name is quoted, too")
  func role() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events")
    let name = #"tidemark "role" % '"# + String(UInt32.random(in: 0 ... .max))
    try await database.run("CREATE ROLE \(Self.quoted(name))")
    for role in PostgresRole.allCases { try await database.admin.grant(role, to: name) }
    try await database.admin.create("others")
    for stream in ["events", "others"] {
      try await database.admin.put([1], partitionKey: "k", to: stream)
      try await database.stream(stream).sequenceCommitted()
    }
    let readable = try await database.pool.query(
      """
      SELECT count(*) FROM pg_class
      WHERE relname ~ '^log_[12]_[0-9]+$' AND relkind = 'r' AND has_table_privilege(\(name), oid, 'SELECT')
      """
    )
    #expect(try readable[0].decode(Int64.self) == 2)
    try await database.admin.revokeAll(from: name)
    // A role that has no rights left can be dropped.
    try await database.run("DROP ROLE \(Self.quoted(name))")
    await #expect(throws: TidemarkError.self) { try await database.admin.grant(.consumer, to: name) }
  }
}
