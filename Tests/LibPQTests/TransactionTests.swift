import LibPQ
import Synchronization
import TestSupport
import Testing

private struct Refused: Error {}

@Suite("Transactions", .sharesMachine)
struct TransactionTests {
  private func connectWithItems(_ configuration: PQConfiguration? = nil) async throws
    -> PQConnection
  {
    let connection: PQConnection
    if let configuration {
      connection = try await connect(configuration)
    } else {
      connection = try await connectToNewDatabase()
    }
    try await connection.execute("CREATE TABLE item (id int UNIQUE DEFERRABLE INITIALLY IMMEDIATE)")
    return connection
  }

  private func itemCount(_ connection: PQConnection) async throws -> Int {
    try await connection.value("SELECT count(*) FROM item")
  }

  @Test("a body that returns is committed, and its result returned")
  func commit() async throws {
    let connection = try await connectWithItems()
    let value = try await connection.transaction { transaction in
      try await transaction.execute("INSERT INTO item VALUES (1)")
      _ = try await transaction.pipeline(["INSERT INTO item VALUES (2)", "INSERT INTO item VALUES (3)"])
      return "done"
    }
    #expect(value == "done")
    #expect(try await itemCount(connection) == 3)
  }

  @Test("a body that throws is rolled back, and its error thrown on")
  func rollback() async throws {
    let connection = try await connectWithItems()
    await #expect(throws: Refused.self) {
      try await connection.transaction { transaction in
        try await transaction.execute("INSERT INTO item VALUES (1)")
        throw Refused()
      }
    }
    #expect(try await itemCount(connection) == 0)
    let error = try await postgresError {
      try await connection.transaction { transaction in
        try await transaction.execute("INSERT INTO item VALUES (1)")
        try await transaction.execute("INSERT INTO item VALUES (1)")
      }
    }
    #expect(error.sqlState == "23505")
    #expect(try await itemCount(connection) == 0)
  }

  @Test(
    "a body whose task is cancelled is rolled back, whether it runs a statement or returns as if nothing were"
  )
  func cancellation() async throws {
    let configuration = try await newDatabase()
    let connection = try await connectWithItems(configuration)
    let observer = try await connect(configuration)
    let sleeping = Task {
      try await connection.transaction { transaction in
        try await transaction.execute("INSERT INTO item VALUES (1)")
        try await transaction.execute("SELECT pg_sleep(60)")
      }
    }
    try await waitUntilRunning("SELECT pg_sleep", seenBy: observer)
    sleeping.cancel()
    #expect(try await postgresError { try await sleeping.value }.code == .cancelled)

    let heedless = Task {
      try await connection.transaction { transaction in
        try await transaction.execute("INSERT INTO item VALUES (1)")
        withUnsafeCurrentTask { $0?.cancel() }
      }
    }
    #expect(try await postgresError { try await heedless.value }.code == .cancelled)
    #expect(try await itemCount(connection) == 0)
  }

  @Test("a transaction in which a failure was swallowed is not reported as committed")
  func swallowedFailure() async throws {
    let connection = try await connectWithItems()
    let error = try await postgresError {
      try await connection.transaction { transaction in
        try await transaction.execute("INSERT INTO item VALUES (1)")
        _ = try? await transaction.execute("SELECT 1 / 0")
      }
    }
    #expect(error.sqlState == "25P02")
    #expect(try await itemCount(connection) == 0)
  }

  @Test("a savepoint saves the transaction from a failure")
  func savepoint() async throws {
    let connection = try await connectWithItems()
    try await connection.transaction { transaction in
      _ = try await transaction.pipeline(["INSERT INTO item VALUES (1)", "SAVEPOINT before"])
      _ = try? await transaction.execute("SELECT 1 / 0")
      try await transaction.execute("ROLLBACK TO before")
    }
    #expect(try await itemCount(connection) == 1)
  }

  @Test("an error at COMMIT is thrown and known to have undone everything")
  func deferredFailure() async throws {
    let connection = try await connectWithItems()
    let error = try await postgresError {
      try await connection.transaction { transaction in
        try await transaction.execute("SET CONSTRAINTS ALL DEFERRED")
        try await transaction.execute("INSERT INTO item VALUES (1), (1)")
      }
    }
    #expect(error.sqlState == "23505" && !error.isOutcomeUnknown)
    #expect(try await itemCount(connection) == 0)
  }

  @Test("isolation level and access mode are the transaction's")
  func modes() async throws {
    let connection = try await connectWithItems()
    for (isolation, name) in [
      (PQIsolation.readCommitted, "read committed"), (.repeatableRead, "repeatable read"),
      (.serializable, "serializable"),
    ] {
      let shown: String = try await connection.transaction(isolation: isolation) {
        try await $0.value("SELECT current_setting('transaction_isolation')")
      }
      #expect(shown == name)
    }
    let error = try await postgresError {
      _ = try await connection.transaction(readOnly: true) {
        try await $0.execute("INSERT INTO item VALUES (1)")
      }
    }
    #expect(error.sqlState == "25006")
  }

  @Test("a serialization failure is retryable")
  func serializationFailure() async throws {
    let configuration = try await newDatabase()
    let first = try await connectWithItems(configuration)
    let second = try await connect(configuration)
    try await first.execute("INSERT INTO item VALUES (1)")
    let error = try await postgresError {
      try await first.transaction(isolation: .repeatableRead) { transaction in
        _ = try await transaction.query("SELECT * FROM item")
        try await second.execute("UPDATE item SET id = 2")
        try await transaction.execute("UPDATE item SET id = 3")
      }
    }
    #expect(error.sqlState == "40001" && error.isRetryable)
  }

  @Test("a transaction used after its end throws")
  func usedTooLate() async throws {
    let connection = try await connectWithItems()
    let kept = try await connection.transaction { $0 }
    #expect(try await postgresError { try await kept.execute("INSERT INTO item VALUES (1)") }.code == .misuse)
    let afterThrow = Mutex<PQTransaction?>(nil)
    try? await connection.transaction { transaction in
      afterThrow.withLock { $0 = transaction }
      throw Refused()
    }
    let transaction = try #require(afterThrow.withLock { $0 })
    #expect(try await postgresError { _ = try await transaction.query("SELECT 1") }.code == .misuse)
    #expect(try await itemCount(connection) == 0)
  }

  @Test("the connection used inside its own transaction's body throws instead of waiting for ever")
  func selfUse() async throws {
    let connection = try await connectWithItems()
    let error = try await postgresError {
      _ = try await connection.transaction { _ in try await connection.execute("SELECT 1") }
    }
    #expect(error.code == .misuse)
    try await connection.execute("SELECT 1")
  }

  @Test("a body that ends the transaction by itself gets an error")
  func ownCommit() async throws {
    let connection = try await connectWithItems()
    let error = try await postgresError {
      _ = try await connection.transaction { try await $0.execute("COMMIT") }
    }
    #expect(error.code == .misuse)
    try await connection.execute("SELECT 1")
  }

  @Test("the body runs where its caller does and may use what is not sendable")
  func callerIsolation() async throws {
    actor Counter {
      var count = 0
      func countItems(_ connection: PQConnection) async throws -> Int {
        try await connection.transaction { transaction in
          count += try await transaction.value("SELECT 41", as: Int.self)
          count += 1
        }
        return count
      }
    }
    #expect(try await Counter().countItems(connectWithItems()) == 42)
  }

  @Test("statements of one transaction from several tasks follow each other")
  func concurrentStatements() async throws {
    let connection = try await connectWithItems()
    try await connection.transaction { transaction in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for id in 0..<50 {
          group.addTask { try await transaction.execute("INSERT INTO item VALUES (\(id))") }
        }
        try await group.waitForAll()
      }
    }
    #expect(try await itemCount(connection) == 50)
  }
}
