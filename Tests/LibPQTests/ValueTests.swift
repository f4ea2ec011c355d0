import Foundation
import LibPQ
import TestSupport
import Testing

@Suite("Values in statements and rows", .sharesMachine)
struct ValueTests {
  @Test("every scalar type comes back as it was bound, with its extremes")
  func scalars() async throws {
    let connection = try await connectToNewDatabase()
    func check<T: PQEncodable & PQDecodable & Equatable>(_ values: T...) async throws {
      for value in values {
        #expect(try await connection.value("SELECT \(value)") == value)
      }
    }
    try await check(true, false)
    try await check(Int16.min, -1, 0, Int16.max)
    try await check(Int32.min, -1, 0, Int32.max)
    try await check(Int64.min, -1, 0, Int64.max)
    try await check(Int.min, 0, Int.max)
    try await check(Float.leastNonzeroMagnitude, -.infinity, .greatestFiniteMagnitude)
    try await check(Double.leastNonzeroMagnitude, -.infinity, .greatestFiniteMagnitude, -0.0)
    try await check("", "a", "ümlaut 🌊", "quote ' \" \\ $1 %s", "line\nbreak")
    try await check([UInt8](), [0], [0, 255, 39, 92, 0])
    await connection.close()
  }

  @Test("NaN stays NaN")
  func notANumber() async throws {
    let connection = try await connectToNewDatabase()
    #expect(try await connection.value("SELECT \(Double.nan)", as: Double.self).isNaN)
    #expect(try await connection.value("SELECT \(Float.nan)", as: Float.self).isNaN)
    #expect(try await connection.value("SELECT \([Double.nan])", as: [Double].self)[0].isNaN)
  }

  @Test("a Decimal comes back as it was bound, and is the number that the server reads")
  func decimals() async throws {
    let connection = try await connectToNewDatabase()
    let texts = [
      "0", "1", "-1", "10", "9999", "10000", "10001", "-123456789", "0.1", "-0.0001", "0.00001", "12345.678",
      "1000000.000001",
      "99999999999999999999999999999999999999", "-0.99999999999999999999999999999999999999", "1e127",
      "-1e-128",
      "12345678901234567890123456789012345678e-100",
    ]
    for text in texts {
      let value = try #require(Decimal(string: text))
      #expect(try await connection.value("SELECT \(value)") == value, "\(text)")
      #expect(
        try await connection.value("SELECT \(value) = \(text)::text::numeric", as: Bool.self),
        "\(text)"
      )
      #expect(try await connection.value("SELECT \(text)::text::numeric") == value, "\(text)")
    }
    for value in [Decimal.greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude, .pi] {
      #expect(try await connection.value("SELECT \(value)") == value)
    }
    #expect(try await connection.value("SELECT \(Decimal.nan)", as: Decimal.self).isNaN)
    #expect(try await connection.value("SELECT \(Decimal.nan) = 'NaN'::numeric", as: Bool.self))
    #expect(try await connection.value("SELECT 1.500::numeric") == Decimal(string: "1.5"))
    #expect(try await connection.value("SELECT 7::int2") == Decimal(7))
    #expect(try await connection.value("SELECT \(Int64.max)") == Decimal(Int64.max))
  }

  @Test(
    "a numeric that Decimal has not is refused, never rounded",
    arguments: [
      "123456789012345678901234567890123456789012", "1e200", "1e-200",
      "1.000000000000000000000000000000000000001",
      "Infinity", "-Infinity",
    ]
  )
  func unfitNumerics(text: String) async throws {
    let connection = try await connectToNewDatabase()
    let error = try await postgresError {
      _ = try await connection.value("SELECT \(text)::text::numeric", as: Decimal.self)
    }
    #expect(error.code == .decoding && error.message.contains("::text"))
  }

  @Test("a Date comes back as it was bound, to the microsecond, and is the moment that the server reads")
  func dates() async throws {
    let connection = try await connectToNewDatabase()
    let moments: [(String, TimeInterval)] = [
      ("1970-01-01 00:00:00Z", 0), ("2001-01-01 00:00:00Z", 978_307_200),
      ("1999-12-31 23:59:59.999999Z", 946_684_799.999999),
      ("2026-11-27 08:15:30.123456Z", 1_795_767_330.123456),
      ("1815-12-10 00:00:00.000001Z", -4_861_727_999.999999),
      ("2260-01-01 00:00:00.5Z", 9_151_488_000.5), ("0001-01-01 00:00:01Z", -62_135_596_799),
      ("4713-01-01 00:00:00Z BC", -210_863_520_000), ("294276-12-31 23:59:59Z", 9_224_318_015_999),
    ]
    for (text, seconds) in moments {
      let date = Date(timeIntervalSince1970: seconds)
      for sql in ["SELECT \(date)", "SELECT \(text)::text::timestamptz"] as [PQStatement] {
        let found = try await connection.value(sql, as: Date.self)
        #expect(abs(found.timeIntervalSince(date)) < 0.000_000_5, "\(text)")
      }
      #expect(
        try await connection.value("SELECT \(date) = \(text)::text::timestamptz", as: Bool.self),
        "\(text)"
      )
    }
    for (text, date) in [("infinity", Date.distantFuture), ("-infinity", .distantPast)] {
      #expect(try await connection.value("SELECT \(text)::text::timestamptz") == date)
      #expect(try await connection.value("SELECT \(date) = \(text)::text::timestamptz", as: Bool.self))
    }
  }

  @Test("a time that timestamptz has not is refused when the statement is sent, in an array too")
  func unfitDates() async throws {
    let connection = try await connectToNewDatabase()
    for seconds in [Double.nan, .infinity, -.infinity, 1e300, 9_224_318_016_000, -210_866_803_201] {
      let date = Date(timeIntervalSince1970: seconds)
      for statement in ["SELECT \(date)", "SELECT \([Date.now, date])", "SELECT \(Date?.some(date))"]
        as [PQStatement]
      {
        let error = try await postgresError { try await connection.execute(statement) }
        #expect(error.code == .encoding && error.message.contains("timestamptz"))
      }
    }
    #expect(try await connection.value("SELECT 1", as: Int.self) == 1, "the connection is as good as before")
  }

  @Test("a UUID and Data come back as they were bound, and are what the server reads")
  func uuidsAndData() async throws {
    let connection = try await connectToNewDatabase()
    let id = try #require(UUID(uuidString: "00112233-4455-6677-8899-AABBCCDDEEFF"))
    #expect(try await connection.value("SELECT \(id)") == id)
    #expect(try await connection.value("SELECT \(id)::text") == "00112233-4455-6677-8899-aabbccddeeff")
    for data in [Data(), Data([0]), Data([0, 255, 39, 92, 0]), Data([9, 8, 7, 6]).dropFirst()] {
      #expect(try await connection.value("SELECT \(data)") == data)
    }
    #expect(
      try await connection.value("SELECT '{\"a\": 1}'::jsonb", as: Data.self) == Data(#"{"a": 1}"#.utf8)
    )
    #expect(try await connection.value("SELECT '\\x0102'::bytea", as: Data.self) == Data([1, 2]))
  }

  @Test("arrays come back with their NULLs, empty ones too")
  func arrays() async throws {
    let connection = try await connectToNewDatabase()
    func check<T: PQEncodable & PQDecodable & Equatable>(_ values: T...) async throws {
      for value in values {
        #expect(try await connection.value("SELECT \(value)") == value)
      }
    }
    try await check([Int64](), [1, -2, .max])
    try await check([Int](), [1, -2, .max])
    try await check([Int32.min, 0, .max])
    try await check([Int16.min, 0, .max])
    try await check([true, false, true])
    try await check([1.5, -.infinity])
    try await check([Float(1.5)])
    try await check(["", "a", "{\"x\",NULL}", "NULL"])
    try await check([String?.none, "a", nil, ""])
    try await check([Int64?.some(1), nil])
    try await check([[UInt8]](), [[], [0, 1], [255]])
    try await check([[UInt8]?.none, [], [0]])
    try await check([Decimal](), [0, -1, 10_000, .pi])
    try await check([Decimal?.none, 1])
    try await check([Date.distantPast, Date(timeIntervalSince1970: 0.25), .distantFuture])
    try await check([Date?.none])
    try await check([UUID()], [])
    try await check([UUID?.none, UUID()])
    try await check([Data(), Data([0, 1])])
    try await check([Data?.none, Data()])
  }

  @Test("arrays bound to unnest are rows for the server")
  func unnest() async throws {
    let connection = try await connectToNewDatabase()
    let rows = try await connection.query(
      "SELECT * FROM unnest(\([1, 2, 3]), \(["a", nil, "c"])) AS t (id, name) ORDER BY id"
    )
    let decoded = try rows.map { try $0.decode((Int, String?).self) }
    #expect(decoded.map(\.0) == [1, 2, 3])
    #expect(decoded.map(\.1) == ["a", nil, "c"])
  }

  @Test("nil binds NULL of its type, and NULL is read by optionals only")
  func nulls() async throws {
    let connection = try await connectToNewDatabase()
    #expect(try await connection.value("SELECT \(Int?.none)", as: Int?.self) == nil)
    #expect(try await connection.value("SELECT \(Int?.some(4))", as: Int?.self) == 4)
    #expect(try await connection.value("SELECT \([UInt8]?.none) IS NULL", as: Bool.self))
    #expect(try await connection.value("SELECT pg_typeof(\(Bool?.none))::text") == "boolean")
    let error = try await postgresError {
      _ = try await connection.value("SELECT NULL::int8 AS n", as: Int.self)
    }
    #expect(error.code == .decoding)
    #expect(error.message.contains("\"n\""))
    let inArray = try await postgresError {
      _ = try await connection.value("SELECT ARRAY[1, NULL]::int8[]", as: [Int].self)
    }
    #expect(inArray.code == .decoding)
  }

  @Test("values given beside the text are bound in order, optionals among them")
  func explicitValues() async throws {
    let connection = try await connectToNewDatabase()
    let missing: String? = nil
    let rows = try await connection.query(PQStatement("SELECT $2, $1, $3, $1 + 1", 7, "b", missing))
    let row = try #require(rows.first)
    #expect(try row.decode((String, Int, String?, Int).self) == ("b", 7, nil, 8))
  }

  @Test("20 MB of bytes go there and back")
  func large() async throws {
    let connection = try await connectToNewDatabase()
    var random = SystemRandomNumberGenerator()
    let bytes = (0..<2_500_000).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
    #expect(try await connection.value("SELECT \(bytes)") == bytes)
  }

  @Test("JSON is read as text or bytes, jsonb without its version byte")
  func json() async throws {
    let connection = try await connectToNewDatabase()
    let row = try #require(
      await connection.query("SELECT '{\"a\": 1}'::jsonb AS b, '{\"a\":1}'::json AS j, 'x'::name AS n").first
    )
    #expect(try row.decode("b", as: String.self) == "{\"a\": 1}")
    #expect(try row.decode("b", as: [UInt8].self) == Array("{\"a\": 1}".utf8))
    #expect(try row.decode("j", as: ArraySlice<UInt8>.self) == ArraySlice("{\"a\":1}".utf8))
    #expect(try row.decode("n", as: String.self) == "x")
  }

  @Test("a value of another type is refused with advice, never misread")
  func wrongTypes() async throws {
    let connection = try await connectToNewDatabase()
    func check<T: PQDecodable>(_ sql: PQStatement, _ type: T.Type) async throws {
      let error = try await postgresError { _ = try await connection.value(sql, as: type) }
      #expect(error.code == .decoding, "\(sql.sql)")
    }
    try await check("SELECT 1.5::numeric", Double.self)
    try await check("SELECT now()", Int.self)
    try await check("SELECT 'a'::text", Int.self)
    try await check("SELECT 1::int8", String.self)
    try await check("SELECT 70000::int8", Int16.self)
    try await check("SELECT gen_random_uuid()", String.self)
    try await check("SELECT now()::timestamp", Date.self)
    try await check("SELECT current_date", Date.self)
    try await check("SELECT 'a'::text", UUID.self)
    try await check("SELECT 1.5::float8", Decimal.self)
    try await check("SELECT 1", Data.self)
    try await check("SELECT ARRAY[[1, 2], [3, 4]]::int8[]", [Int].self)
    try await check("SELECT 'no array'::text", [String].self)
    try await check("SELECT 1::float8", Float.self)
    #expect(try await connection.value("SELECT 70000::int4", as: Int64.self) == 70000)
    #expect(try await connection.value("SELECT 'pg_class'::regclass::oid", as: Int.self) == 1259)
  }

  @Test(
    "a row is decoded by position only when the number of columns fits, and by name as the server names it"
  )
  func rows() async throws {
    let connection = try await connectToNewDatabase()
    let rows = try await connection.query("SELECT n, 'x' || n AS \"Label\" FROM generate_series(1, 3) n")
    #expect(rows.count == 3)
    #expect(rows.affectedRows == 3)
    #expect(try rows.map { try $0.decode("Label", as: String.self) } == ["x1", "x2", "x3"])
    #expect(throws: PQError.self) { try rows[0].decode("label", as: String.self) }
    #expect(throws: PQError.self) { try rows[0].decode(Int.self) }
    #expect(throws: PQError.self) { try rows[0].decode((Int, String, String).self) }
    let (number, label) = try rows[2].decode((Int, String).self)
    #expect(number == 3 && label == "x3")
  }

  @Test("results outlive the statement, and the connection")
  func ownership() async throws {
    let connection = try await connectToNewDatabase()
    let rows = try await connection.query("SELECT n::text FROM generate_series(1, 1000) n")
    try await connection.execute("SELECT 1")
    await connection.close()
    #expect(try rows.map { try $0.decode(String.self) } == (1...1000).map(String.init))
  }

  @Test("text in values and identifiers never becomes SQL")
  func injection() async throws {
    let connection = try await connectToNewDatabase()
    let attacks = [
      "'; DROP TABLE item; --", "\"; DROP TABLE item; --", "$1", "\\'; SELECT 1; --", "a\"b\"\"c", "%s",
    ]
    try await connection.execute("CREATE TABLE item (name text)")
    for attack in attacks {
      try await connection.execute("INSERT INTO item VALUES (\(attack))")
      try await connection.execute("CREATE TABLE \(identifier: attack) (\(identifier: attack) int)")
      let name: String = try await connection.value("SELECT relname FROM pg_class WHERE relname = \(attack)")
      #expect(name == attack)
      let rows = try await connection.query("SELECT 1 AS \(identifier: attack)")
      #expect(try rows[0].decode(attack, as: Int.self) == 1)
      _ = try await connection.listen(to: attack)
    }
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == attacks.count)
    let channels = try await connection.query("SELECT pg_listening_channels()").map {
      try $0.decode(String.self)
    }
    #expect(Set(channels) == Set(attacks))
  }

  @Test("a NUL in a statement's text is refused, and dropped from an identifier")
  func nul() async throws {
    let connection = try await connectToNewDatabase()
    let error = try await postgresError { try await connection.execute(PQStatement("SELECT 1\0, 2")) }
    #expect(error.code == .misuse)
    let named: PQStatement = "SELECT 1 AS \(identifier: "a\0b")"
    #expect(named.sql == "SELECT 1 AS \"ab\"")
  }
}
