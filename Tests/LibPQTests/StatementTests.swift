import LibPQ
import TestSupport
import Testing

@Suite("Statements, pipelines and the statement cache", .sharesMachine)
struct StatementTests {
  @Test("errors carry the server's SQLSTATE and leave the connection usable")
  func errors() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (id int PRIMARY KEY CHECK (id > 0))")
    try await connection.execute("INSERT INTO item VALUES (1)")
    let cases: [(PQStatement, String)] = [
      ("SELEC 1", "42601"), ("SELECT * FROM missing", "42P01"), ("INSERT INTO item VALUES (1)", "23505"),
      ("INSERT INTO item VALUES (0)", "23514"), ("INSERT INTO item VALUES (NULL)", "23502"),
      ("SELECT 1 / \(0)", "22012"), ("SELECT \("x")::int", "22P02"),
    ]
    for (statement, sqlState) in cases {
      let error = try await postgresError { try await connection.execute(statement) }
      #expect(error.code == .server)
      #expect(error.sqlState == sqlState)
      #expect(!error.isRetryable && !error.isOutcomeUnknown)
    }
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 1)
    #expect(!connection.isClosed)
  }

  @Test("execute returns the rows that were touched")
  func affectedRows() async throws {
    let connection = try await connectToNewDatabase()
    #expect(try await connection.execute("CREATE TABLE item (id int)") == 0)
    #expect(try await connection.execute("INSERT INTO item SELECT generate_series(1, 10)") == 10)
    #expect(try await connection.execute("UPDATE item SET id = id WHERE id > \(7)") == 3)
    #expect(try await connection.execute("DELETE FROM item WHERE id = 100") == 0)
  }

  @Test("an error that comes only at the commit is thrown")
  func deferredConstraint() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    let error = try await postgresError { try await connection.execute("INSERT INTO item VALUES (1), (1)") }
    #expect(error.sqlState == "23505")
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 0)
  }

  @Test("errors show neither bound text nor a row's details")
  func redaction() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (name text UNIQUE)")
    try await connection.execute("INSERT INTO item VALUES (\("top secret"))")
    let cast = try await postgresError { try await connection.execute("SELECT \("top secret")::int") }
    #expect(cast.message.contains("\"$1\""))
    let unique = try await postgresError {
      _ = try await connection.pipeline(["SELECT 1", "INSERT INTO item VALUES (\("top secret"))"])
    }
    #expect(unique.detail?.contains("already exists") == true)
    for error in [cast, unique] { #expect(!"\(error) \(error.detail ?? "")".contains("secret")) }
  }

  @Test("what a function says with a state of its own is shown as it is")
  func ownMessage() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.executeScript(
      """
      CREATE FUNCTION refuse(name text) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'there is no "%"', name USING ERRCODE = 'TM001'; END $$
      """
    )
    let error = try await postgresError { try await connection.execute("SELECT refuse(\("orders"))") }
    #expect(error.message == "there is no \"orders\"")
  }

  @Test("a pipeline returns its results in order")
  func pipeline() async throws {
    let connection = try await connectToNewDatabase()
    let results = try await connection.pipeline((0..<500).map { "SELECT \($0)" })
    #expect(try results.map { try $0[0].decode(Int.self) } == Array(0..<500))
    #expect(try await connection.pipeline([]).isEmpty)
  }

  @Test("after an error in the middle of a pipeline nothing of it is kept, and that error is thrown")
  func pipelineError() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (id int PRIMARY KEY)")
    for _ in 0..<3 {
      let error = try await postgresError {
        _ = try await connection.pipeline([
          "INSERT INTO item VALUES (1)", "INSERT INTO item VALUES (2)", "SELECT 1 / \(0)",
          "INSERT INTO missing VALUES (3)", "INSERT INTO item VALUES (4)",
        ])
      }
      #expect(error.sqlState == "22012")
      #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 0)
    }
    #expect(try await connection.pipeline(["INSERT INTO item VALUES (4)", "SELECT 1 / \(1)"]).count == 2)
  }

  @Test("a pipeline may hold its own transaction; if it fails the transaction is not left open")
  func pipelineWithTransaction() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (id int PRIMARY KEY)")
    let results = try await connection.pipeline([
      "BEGIN ISOLATION LEVEL SERIALIZABLE", "INSERT INTO item VALUES (\(1))",
      "SELECT current_setting('transaction_isolation')", "COMMIT",
    ])
    #expect(try results[2][0].decode(String.self) == "serializable")
    let error = try await postgresError {
      _ = try await connection.pipeline(["BEGIN", "INSERT INTO item VALUES (\(1))", "COMMIT"])
    }
    #expect(error.sqlState == "23505")
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 1)
  }

  @Test("a pipeline larger than the socket's buffers in both directions does not get stuck")
  func largePipeline() async throws {
    let connection = try await connectToNewDatabase()
    let bytes = [UInt8](repeating: 1, count: 1_000_000)
    let results = try await connection.pipeline((0..<20).map { _ in "SELECT \(bytes)" })
    #expect(try results.allSatisfy { try $0[0].decode([UInt8].self).count == bytes.count })
  }

  @Test("a statement is prepared once, and the least recently used one is dropped when there are too many")
  func cacheEviction() async throws {
    var configuration = try await newDatabase()
    configuration.preparedStatementLimit = 4
    let connection = try await connect(configuration)
    func prepared() async throws -> Set<String> {
      let rows = try await connection.query("SELECT statement FROM pg_prepared_statements")
      return Set(try rows.map { try $0.decode(String.self) }.filter { $0.contains("marker") })
    }
    for _ in 0..<3 { try await connection.execute("SELECT 'marker 1', \(1)") }
    #expect(try await prepared() == ["SELECT 'marker 1', $1"])
    for number in 2...10 {
      #expect(
        try await connection.value(PQStatement("SELECT $1 /* marker \(number) */", number)) == number
      )
    }
    // The statement that asks takes a place, too, and what it displaced goes at its end.
    _ = try await prepared()
    #expect(
      try await prepared() == [
        "SELECT $1 /* marker 8 */", "SELECT $1 /* marker 9 */", "SELECT $1 /* marker 10 */",
      ]
    )
    let count = try await connection.value("SELECT count(*) FROM pg_prepared_statements", as: Int.self)
    #expect(count <= 5)
    // More distinct statements in one pipeline than the cache holds.
    let results = try await connection.pipeline((0..<20).map { PQStatement("SELECT $1 + \($0)", 1) })
    #expect(try results.map { try $0[0].decode(Int.self) } == (1...20).map { $0 })
  }

  @Test("a prepared statement whose result type has changed is prepared again")
  func stalePlan() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (id int)")
    try await connection.execute("INSERT INTO item VALUES (1)")
    #expect(try await connection.query("SELECT * FROM item")[0].decode(Int.self) == 1)
    try await connection.execute("ALTER TABLE item ADD COLUMN name text DEFAULT 'x'")
    let decoded = try await connection.query("SELECT * FROM item")[0].decode((Int, String).self)
    #expect(decoded == (1, "x"))
  }

  @Test("prepared statements that the session has lost are prepared again")
  func deallocated() async throws {
    let connection = try await connectToNewDatabase()
    for _ in 0..<2 {
      #expect(try await connection.value("SELECT \(1)") == 1)
      try await connection.executeScript("DEALLOCATE ALL")
    }
    let inTransaction = try await postgresError {
      try await connection.transaction { transaction in
        #expect(try await transaction.value("SELECT \(1)") == 1)
        try await transaction.executeScript("DEALLOCATE ALL")
        _ = try await transaction.query("SELECT \(1)")
      }
    }
    #expect(inTransaction.sqlState == "26000" && inTransaction.isRetryable)
    // What opens and ends a transaction does not depend on what the session has prepared.
    try await connection.transaction { try await $0.executeScript("DEALLOCATE ALL") }
    #expect(try await connection.value("SELECT \(1)") == 1)
  }

  @Test("without prepared statements the session keeps none")
  func unprepared() async throws {
    var configuration = try await newDatabase()
    configuration.usesPreparedStatements = false
    let connection = try await connect(configuration)
    #expect(try await connection.value("SELECT \("a")") == "a")
    #expect(try await connection.pipeline(["SELECT \(1)", "SELECT \(2)"]).count == 2)
    #expect(try await connection.value("SELECT count(*) FROM pg_prepared_statements", as: Int.self) == 0)
  }

  @Test("a script runs all its statements, or none when one fails")
  func scripts() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.executeScript(
      """
      CREATE TABLE item (id int);
      CREATE FUNCTION one() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
      INSERT INTO item VALUES (one()), (2);
      """
    )
    let error = try await postgresError {
      try await connection.executeScript(
        "INSERT INTO item VALUES (3); SELECT 1 / 0; INSERT INTO item VALUES (4)"
      )
    }
    #expect(error.sqlState == "22012")
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 2)
    let open = try await postgresError { try await connection.executeScript("BEGIN; SELECT 1") }
    #expect(open.code == .misuse)
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 2)
  }

  @Test("a statement that must stand alone, as CREATE DATABASE, runs")
  func standalone() async throws {
    let connection = try await connectToNewDatabase()
    let database: String = try await connection.value("SELECT current_database()")
    try await connection.execute("CREATE DATABASE \(identifier: database + "_2")")
    try await connection.execute("DROP DATABASE \(identifier: database + "_2")")
    try await connection.execute("VACUUM")
  }
}
