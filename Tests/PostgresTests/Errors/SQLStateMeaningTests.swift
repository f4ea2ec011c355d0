import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkStreams

@testable import TidemarkPostgres

@Suite("What PostgreSQL's errors mean", .sharesMachine)
struct SQLStateMeaningTests {
  private static let migrations: String = {
    let schemas = [TidemarkSchema.leases, .streams]
    return schemas.flatMap(\.migrations).flatMap { [$0.up, $0.down] }.joined(separator: "\n")
  }()

  /// What the migrations raise and do not catch themselves.
  private static let raised = Set(migrations.matches(of: /ERRCODE = '(\w+)'/).map { String($0.1) })
    .subtracting(migrations.matches(of: /WHEN SQLSTATE '(\w+)'/).map { String($0.1) }).sorted()

  /// The error of a function that raises this, as a caller sees it who asks the subject.
  private func raise(_ errorCode: String, hint: String? = nil, of subject: DatabaseSubject) async throws
    -> TidemarkError
  {
    let url = try await TestServer.shared().url(database: "postgres")
    let pool = try StreamDatabase.makePool(url, connections: 1)
    let using = hint.map { ", HINT = '\($0)'" } ?? ""
    let error = await #expect(throws: TidemarkError.self) {
      try await reading(subject) {
        try await pool.withConnection { connection in
          try await connection.executeScript(
            "DO $$ BEGIN RAISE EXCEPTION 'what happened' USING ERRCODE = '\(errorCode)'\(using); END $$"
          )
        }
      }
    }
    await pool.close()
    return try #require(error)
  }

  @Test("each that the migrations raise is in the table, with the function's own message and hint")
  func migrations() async throws {
    try #require(Self.raised.count > 7 && Self.raised.contains("TM005"))
    for errorCode in Self.raised {
      let error = try await raise(errorCode, hint: "What to do.", of: .stream)
      let state = try #require((error.underlying as? PQError)?.sqlState)
      #expect(SQLStateMeaning.table[state] != nil, "\(errorCode)")
      #expect(error.message.hasSuffix("what happened."), "\(error)")
      #expect(error.advice == "What to do.", "\(error)")
    }
  }

  @Test("each exception of the migrations has an error code, and what is the schema's own a hint")
  func errorCodes() {
    let raises = Self.migrations.matches(of: /RAISE EXCEPTION (?:'(?:[^']|'')*'|[^;'])*;/).map {
      String($0.0)
    }
    #expect(raises.count > 30)
    for raise in raises {
      #expect(raise.contains("ERRCODE = "), "\(raise)")
      #expect(!raise.contains("'TM00") || raise.contains("HINT = ") || raise.contains("'TM000'"), "\(raise)")
    }
  }

  @Test(
    "each has a code that says what to do, and whether waiting helps",
    arguments: [
      ("insufficient_privilege", .permissionDenied, false),
      ("invalid_password", .authenticationFailed, false),
      ("invalid_authorization_specification", .authenticationFailed, false),
      ("invalid_catalog_name", .databaseNotFound, false), ("invalid_schema_name", .schemaMismatch, false),
      ("undefined_column", .schemaMismatch, false), ("too_many_connections", .tooManyConnections, true),
      ("disk_full", .diskFull, true), ("read_only_sql_transaction", .readOnly, true),
      ("out_of_memory", .sourceUnavailable, true), ("deadlock_detected", .sourceUnavailable, true),
      ("serialization_failure", .sourceUnavailable, true), ("lock_not_available", .sourceUnavailable, true),
      ("query_canceled", .sourceUnavailable, true), ("object_in_use", .sourceUnavailable, true),
      ("cannot_connect_now", .sourceUnavailable, true), ("connection_failure", .sourceUnavailable, true),
      ("division_by_zero", .unsupported, false), ("raise_exception", .unsupported, false),
      // Of something that is not the schema's.
      ("undefined_table", .unsupported, false), ("check_violation", .unsupported, false),
    ] as [(String, TidemarkError.Code, Bool)]
  )
  func codes(_ errorCode: String, _ code: TidemarkError.Code, _ isRetryable: Bool) async throws {
    let error = try await raise(errorCode, of: .stream)
    #expect(error.code == code && error.isRetryable == isRetryable)
    #expect(error.message.hasPrefix("The stream's database ") && error.message.hasSuffix(": what happened."))
    let saysAll = ["out_of_memory", "cannot_connect_now", "connection_failure"].contains(errorCode)
    #expect((error.advice == nil) == (saysAll || code == .unsupported), "\(error)")
    #expect("\(error)".matches(of: /what happened/).count == 1, "it is said twice")
  }

  @Test("a hint for those who write SQL does not hide the one command that helps")
  func schemaHint() async throws {
    let error = try await raise(
      "undefined_column",
      hint: "Perhaps you meant another column.",
      of: .leaseStore
    )
    #expect(error.advice == "Run: tidemark migrate")
  }

  @Test("what a stream has of its own is missing only where the stream is")
  func missingStream() async throws {
    let database = try await StreamDatabase.make(connections: 1)
    for (missing, code) in [
      ("SELECT FROM tidemark.log_7", TidemarkError.Code.streamNotFound),
      ("SELECT tidemark.sequence_7(1, 2)", .streamNotFound),
      ("SELECT FROM tidemark.later", .schemaMismatch), ("SELECT tidemark.later()", .schemaMismatch),
      ("SELECT FROM nothing", .unsupported),
    ] {
      let error = await #expect(throws: TidemarkError.self) {
        try await reading(.stream) { try await database.run(missing) }
      }
      #expect(error?.code == code, "\(missing)")
    }
    await database.pool.close()
  }

  @Test("what the client takes for passing, a worker waits for as well")
  func retryable() {
    for state in ["40001", "40P01", "55P03", "57P01", "57P02", "57P03", "26000", "08006", "53000", "53300"] {
      let error = PQError(.server, "what happened", sqlState: state)
      #expect(error.isRetryable)
      #expect(TidemarkError(error, of: .leaseStore).isRetryable, "\(state)")
    }
    let silent = TidemarkError(PQError(.connectionFailed, "refused"), of: .leaseStore)
    #expect(silent.code == .storeUnavailable && silent.message == "The lease store did not answer: refused.")
  }

  @Test("a lost answer matters where something was written, and only there")
  func lostAnswers() async {
    let lost = PQError(.connectionLost, "The server is gone.", isOutcomeUnknown: true)
    let read = await #expect(throws: TidemarkError.self) { try await reading(.leaseStore) { throw lost } }
    #expect(read?.code == .storeUnavailable)
    let written = await #expect(throws: TidemarkError.self) { try await writing(.stream) { throw lost } }
    #expect(written?.code == .outcomeUnknown && written?.isRetryable == true)
    #expect(written?.message.contains("may be done or not: The server is gone.") == true)
    await #expect(throws: CancellationError.self) {
      try await writing(.stream) { throw PQError(.cancelled, "cancelled") }
    }
  }

  @Test("a server that takes no writes, no connections or no time is said to be so")
  func realRefusals() async throws {
    let database = try await StreamDatabase.make()
    func error(_ script: String) async throws -> TidemarkError {
      let error = await #expect(throws: TidemarkError.self) {
        try await reading(.stream) { try await database.run(script) }
      }
      return try #require(error)
    }
    let readOnly = try await error("BEGIN READ ONLY; DELETE FROM tidemark_leases.lease")
    #expect(readOnly.code == .readOnly && readOnly.message.contains("cannot execute DELETE"))
    let slow = try await error("SET LOCAL statement_timeout = '1ms'; SELECT pg_sleep(10)")
    #expect(slow.code == .sourceUnavailable && slow.advice?.contains("statement_timeout") == true)
    let roles = StreamRoles(database: database)
    try await roles.create("crowd")
    try await database.run("ALTER ROLE \(roles.name("crowd")) CONNECTION LIMIT 0")
    let configuration = try PQConfiguration(url: roles.url("crowd"))
    let crowded = await #expect(throws: TidemarkError.self) {
      try await reading(.leaseStore) {
        try await PQConnection.connect(configuration, logger: StreamDatabase.logger).close()
      }
    }
    #expect(crowded?.code == .tooManyConnections && crowded?.isRetryable == true)
    try await roles.drop("crowd")
    await database.pool.close()
  }
}
