import LocalPostgres
import Synchronization
import TestSupport
import Testing

@testable import LibPQ

@Suite("Connections that break or cannot be made", .sharesMachine)
struct ConnectionLossTests {
  @Test("a session killed in the middle of a statement leaves its outcome unknown")
  func killedStatement() async throws {
    let configuration = try await newDatabase()
    let connection = try await connect(configuration)
    let observer = try await connect(configuration)
    let running = Task { try await connection.execute("SELECT pg_sleep(60)") }
    try await waitUntilRunning("SELECT pg_sleep", seenBy: observer)
    try await terminate("SELECT pg_sleep", observer)
    let error = try await postgresError { _ = try await running.value }
    #expect(error.code == .connectionLost && error.isOutcomeUnknown && error.isRetryable)
    #expect(error.sqlState == "57P01")
    #expect(connection.isClosed)
    let next = try await postgresError { try await connection.execute("SELECT 1") }
    #expect(next.code == .connectionLost && !next.isOutcomeUnknown)
  }

  @Test("a session killed inside a transaction has written nothing, and that is known")
  func killedTransaction() async throws {
    let configuration = try await newDatabase()
    let connection = try await connect(configuration)
    let observer = try await connect(configuration)
    let running = Task {
      try await connection.transaction { try await $0.execute("SELECT pg_sleep(60)") }
    }
    try await waitUntilRunning("SELECT pg_sleep", seenBy: observer)
    try await terminate("SELECT pg_sleep", observer)
    let error = try await postgresError { _ = try await running.value }
    #expect(error.code == .connectionLost && !error.isOutcomeUnknown)
  }

  @Test("a session killed during COMMIT leaves its outcome unknown")
  func killedCommit() async throws {
    let configuration = try await newDatabase()
    let connection = try await connect(configuration)
    let observer = try await connect(configuration)
    try await connection.executeScript(
      """
      CREATE TABLE item (id int);
      CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow();
      """
    )
    let running = Task {
      try await connection.transaction { try await $0.execute("INSERT INTO item VALUES (1)") }
    }
    try await waitUntilRunning("COMMIT", seenBy: observer)
    try await terminate("COMMIT", observer)
    let error = try await postgresError { _ = try await running.value }
    #expect(error.code == .connectionLost && error.isOutcomeUnknown)
  }

  @Test("a session killed while idle is noticed without a statement")
  func killedIdle() async throws {
    let configuration = try await newDatabase()
    let connection = try await connect(configuration)
    let observer = try await connect(configuration)
    let processID: Int = try await connection.value("SELECT pg_backend_pid()")
    try await observer.execute("SELECT pg_terminate_backend(\(Int32(processID)))")
    try await eventually("the connection is closed") { connection.isClosed }
  }

  private func terminate(_ prefix: String, _ observer: PQConnection) async throws {
    try await observer.execute(
      """
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE starts_with(query, \(prefix)) AND pid <> pg_backend_pid() AND datname = current_database()
      """
    )
  }

  @Test("a server that is down is said to be, without the password")
  func serverDown() async throws {
    // Port 1 (tcpmux) is served nowhere.
    let configuration = try PQConfiguration(
      url: "postgres://user:hush-hush@127.0.0.1:1/db?sslpassword=whisper"
    )
    let error = try await postgresError { _ = try await connect(configuration) }
    #expect(error.code == .connectionFailed && error.isRetryable && !error.isOutcomeUnknown)
    #expect(error.message.contains("127.0.0.1") && error.message.contains("refused"))
    #expect(!"\(error) \(configuration)".contains("hush"))
    #expect(!"\(configuration)".contains("whisper"))
  }

  @Test("a refused login carries its SQLSTATE and is not retried by the pool")
  func refusedLogin() async throws {
    let configuration = try await newDatabase()
    let url = try await TestServer.shared().url(database: "there_is_no_such_database")
    let missing = try PQConfiguration(url: url)
    let error = try await postgresError { _ = try await connect(missing) }
    #expect(error.code == .connectionFailed && error.sqlState == "3D000" && !error.isRetryable)
    #expect(!error.message.contains("LOCATION") && !error.message.contains(".c:"))
    let pool = PQPool(missing, acquireTimeout: .seconds(60), logger: quietLogger)
    let clock = ContinuousClock()
    let start = clock.now
    #expect(try await postgresError { try await pool.execute("SELECT 1") }.sqlState == "3D000")
    #expect(clock.now - start < .seconds(30), "it was tried again and again")
    let connection = try await connect(configuration)
    #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
  }

  @Test("a wrong password is reported as such and not shown")
  func wrongPassword() async throws {
    var server = LocalPostgresConfiguration()
    server.listensOnTCP = true
    try await withLocalPostgres(server) { local in
      let right = try PQConfiguration(url: local.url())
      let connection = try await connect(right)
      #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
      try await connection.execute("CREATE ROLE app LOGIN PASSWORD 'right-one'")
      await connection.close()
      let parts = local.url().split(separator: "@")
      let address = try #require(parts.last)
      let wrong = try PQConfiguration(url: "postgres://app:wrong-one@\(address)")
      let error = try await postgresError { _ = try await connect(wrong) }
      #expect(error.sqlState == "28P01" && !error.isRetryable)
      #expect(!"\(error)".contains("wrong-one"))
      #expect(error.user == "app")
      let none = try await postgresError {
        _ = try await connect(try PQConfiguration(url: "postgres://app@\(address)"))
      }
      #expect(none.sqlState == "28P01" && !none.isRetryable, "a password that is missing is a wrong one")
    }
  }

  @Test("a connection waits for a host without an address only if it once had one")
  func unknownHost() async throws {
    // Two dots make names that no resolver asks anybody about.
    let known = "known..host"
    Handshake.reached.withLock { _ = $0.insert(known) }
    let outage = try await postgresError {
      _ = try await connect(try PQConfiguration(url: "postgres://\(known)/db"))
    }
    #expect(outage.code == .connectionFailed && outage.isRetryable)
    for hosts in ["unknown..host", "unknown..host,other..host"] {
      let error = try await postgresError {
        _ = try await connect(try PQConfiguration(url: "postgres://\(hosts)/db"))
      }
      #expect(error.code == .hostNotFound && !error.isRetryable && error.message.contains("unknown..host"))
    }
    // A server that is down may come back.
    let mixed = try await postgresError {
      _ = try await connect(try PQConfiguration(url: "postgres://unknown..host:5432,127.0.0.1:1/db"))
    }
    #expect(mixed.code == .connectionFailed && mixed.isRetryable)
  }

  @Test("a connection that nobody answers fails after the connect timeout")
  func connectTimeout() async throws {
    // A listening socket that never accepts: the kernel completes the connection, nobody answers.
    let silent = try SilentServer()
    var configuration = try PQConfiguration(
      url: "postgres://user:hush-hush@127.0.0.1:\(silent.port)/db"
    )
    configuration.connectTimeout = .milliseconds(200)
    let error = try await postgresError { _ = try await connect(configuration) }
    #expect(error.code == .connectionFailed && error.isRetryable)
    #expect(error.message.contains("within 0.2 seconds"))
    #expect(!"\(error)".contains("hush"))
  }

  @Test("a dead first host of several is passed over")
  func severalHosts() async throws {
    var server = LocalPostgresConfiguration()
    server.listensOnTCP = true
    try await withLocalPostgres(server) { local in
      let parts = local.url().split(separator: "@")
      let (login, address) = (parts[0], parts[1])
      let configuration = try PQConfiguration(url: "\(login)@127.0.0.1:1,\(address)")
      #expect(configuration.description.contains("target_session_attrs=read-write"))
      let connection = try await connect(configuration)
      #expect(try await connection.value("SELECT 1", as: Int.self) == 1)
      try await connection.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
      let readOnly = try await postgresError { _ = try await connect(configuration) }
      #expect(readOnly.code == .connectionFailed && readOnly.isRetryable)
      await connection.close()
    }
  }
}
