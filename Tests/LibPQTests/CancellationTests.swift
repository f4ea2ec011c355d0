import LibPQ
import TestSupport
import Testing

@Suite("Cancellation of statements", .sharesMachine)
struct CancellationTests {
  @Test("a cancelled statement ends soon, and the connection works afterwards")
  func sleep() async throws {
    let configuration = try await newDatabase()
    let connection = try await connect(configuration)
    let observer = try await connect(configuration)
    for _ in 0..<5 {
      let sleeping = Task { try await connection.execute("SELECT pg_sleep(60)") }
      try await waitUntilRunning("SELECT pg_sleep", seenBy: observer)
      let clock = ContinuousClock()
      let start = clock.now
      sleeping.cancel()
      let error = try await postgresError { _ = try await sleeping.value }
      #expect(clock.now - start < .seconds(30), "it slept on")
      #expect(error.code == .cancelled && error.sqlState == "57014" && !error.isOutcomeUnknown)
      #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
    }
  }

  @Test("a cancellation at any moment never hits the next statement")
  func lateCancellations() async throws {
    let connection = try await connectToNewDatabase()
    for round in 0..<100 {
      let task = Task { try await connection.query("SELECT pg_sleep(\(Double(round % 5) * 0.0005))") }
      try await Task.sleep(for: .microseconds(round * 30))
      task.cancel()
      _ = await task.result
      #expect(try await connection.value("SELECT \(round)") == round)
    }
  }

  @Test("a task that is cancelled already sends nothing")
  func before() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE item (id int)")
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      try await connection.execute("INSERT INTO item VALUES (1)")
    }
    #expect(try await postgresError { _ = try await task.value }.code == .cancelled)
    #expect(try await connection.value("SELECT count(*) FROM item", as: Int.self) == 0)
  }

  @Test("a server's own timeout is no cancellation of ours")
  func statementTimeout() async throws {
    var configuration = try await newDatabase()
    configuration.settings["statement_timeout"] = "20ms"
    let connection = try await connect(configuration)
    let error = try await postgresError { try await connection.execute("SELECT pg_sleep(60)") }
    #expect(error.code == .server && error.sqlState == "57014")
  }

  @Test("connecting can be cancelled")
  func connecting() async throws {
    let silent = try SilentServer()
    var configuration = try PQConfiguration(url: "postgres://user@127.0.0.1:\(silent.port)/db")
    configuration.connectTimeout = .seconds(60)
    let task = Task { [configuration] in try await connect(configuration) }
    try await eventually("the server is reached") { silent.hasClient }
    task.cancel()
    let clock = ContinuousClock()
    let start = clock.now
    let error = try await postgresError { _ = try await task.value }
    #expect(error.code == .cancelled)
    #expect(clock.now - start < .seconds(30), "it waited for the timeout")
  }
}
