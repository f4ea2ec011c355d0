import LocalPostgres
import TestSupport
import Testing

@testable import LibPQ

@Suite("The pool", .sharesMachine)
struct PoolTests {
  @Test("the pool never opens more sessions than its bound, and reuses them")
  func bound() async throws {
    let configuration = try await newDatabase()
    let pool = PQPool(configuration, maximumConnections: 3, logger: quietLogger)
    let held = Holders()
    let sessions = Journal<Int>()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<60 {
        group.addTask {
          try await pool.withConnection { connection in
            await held.come()
            await sessions.note(try await connection.value("SELECT pg_backend_pid() FROM pg_sleep(0.001)"))
            await held.go()
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(await held.most == 3)
    #expect(await Set(sessions.entries).count <= 3)
    await pool.close()
  }

  private actor Holders {
    private var count = 0
    private(set) var most = 0

    func come() {
      count += 1
      most = max(most, count)
    }

    func go() {
      count -= 1
    }
  }

  @Test("the pool serves waiters in the order in which they came")
  func order() async throws {
    let pool = PQPool(try await newDatabase(), maximumConnections: 1, logger: quietLogger)
    let served = Journal<Int>()
    try await withThrowingTaskGroup(of: Void.self) { group in
      try await pool.withConnection { _ in
        for caller in 0..<20 {
          group.addTask {
            try await pool.withConnection { _ in _ = await served.note(caller) }
          }
          try await eventually("caller \(caller) waits") { pool.permits.waiting == caller + 1 }
        }
      }
      try await group.waitForAll()
    }
    #expect(await served.entries == Array(0..<20))
  }

  @Test("a caller that waits too long gets a timeout, and the pool goes on")
  func acquireTimeout() async throws {
    let pool = PQPool(
      try await newDatabase(),
      maximumConnections: 1,
      acquireTimeout: .seconds(2),
      logger: quietLogger
    )
    try await pool.withConnection { _ in
      let error = try await postgresError { try await pool.execute("SELECT 1") }
      #expect(error.code == .timeout && error.isRetryable)
    }
    #expect(try await pool.value("SELECT 1", as: Int.self) == 1)
  }

  @Test("a cancelled waiter leaves the queue at once")
  func cancelledWaiter() async throws {
    let pool = PQPool(try await newDatabase(), maximumConnections: 1, logger: quietLogger)
    try await pool.withConnection { _ in
      let waiter = Task { try await pool.execute("SELECT 1") }
      waiter.cancel()
      let error = try await postgresError { _ = try await waiter.value }
      #expect(error.code == .cancelled)
    }
    #expect(try await pool.value("SELECT 1", as: Int.self) == 1)
  }

  @Test("the pool recovers after its sessions were killed, in use and idle")
  func killedSessions() async throws {
    let configuration = try await newDatabase()
    let pool = PQPool(configuration, maximumConnections: 2, logger: quietLogger)
    let observer = try await connect(configuration)
    let running = Task { try await pool.execute("SELECT pg_sleep(60)") }
    try await waitUntilRunning("SELECT pg_sleep", seenBy: observer)
    let kill: PQStatement = """
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()
      """
    try await observer.execute(kill)
    let error = try await postgresError { _ = try await running.value }
    #expect(error.code == .connectionLost && error.isOutcomeUnknown)
    #expect(try await pool.value("SELECT 1", as: Int.self) == 1)

    let idle = try await pool.withConnection { $0 }
    try await observer.execute(kill)
    try await eventually("the loss is noticed") { idle.isClosed }
    for _ in 0..<5 { #expect(try await pool.value("SELECT 1", as: Int.self) == 1) }
  }

  @Test("the pool waits for a server that restarts")
  func serverRestart() async throws {
    try await withLocalPostgres { local in
      let pool = PQPool(
        try PQConfiguration(url: local.url()),
        acquireTimeout: .seconds(60),
        logger: quietLogger
      )
      #expect(try await pool.value("SELECT 1", as: Int.self) == 1)
      let idle = try await pool.withConnection { $0 }
      async let restart: Void = local.restart()
      try await eventually("the loss is noticed") { idle.isClosed }
      #expect(try await pool.value("SELECT 2", as: Int.self) == 2)
      try await restart
      await pool.close()
    }
  }

  @Test("the pool tells why no connection could be made, without the password, once the time is up")
  func unreachable() async throws {
    let pool = PQPool(
      try PQConfiguration(url: "postgres://user:hush-hush@127.0.0.1:1/db"),
      acquireTimeout: .milliseconds(300),
      logger: quietLogger
    )
    let clock = ContinuousClock()
    let start = clock.now
    let error = try await postgresError { try await pool.execute("SELECT 1") }
    #expect(clock.now - start < .seconds(30), "it waited longer than it should")
    #expect(error.code == .connectionFailed && !"\(error)".contains("hush"))
  }

  @Test("the pool does not hand on a transaction that somebody left open")
  func leftOpen() async throws {
    let pool = PQPool(try await newDatabase(), maximumConnections: 1, logger: quietLogger)
    try await pool.withConnection { connection in
      try await connection.execute("BEGIN")
      try await connection.execute("CREATE TABLE item (id int)")
    }
    #expect(try await pool.value("SELECT to_regclass('item') IS NULL", as: Bool.self))
  }

  @Test("the pool runs transactions and pipelines")
  func queryable() async throws {
    let pool = PQPool(try await newDatabase(), logger: quietLogger)
    try await pool.execute("CREATE TABLE item (id int)")
    try await pool.transaction { try await $0.execute("INSERT INTO item VALUES (1)") }
    let results = try await pool.pipeline(["SELECT count(*) FROM item", "SELECT 5"])
    #expect(try results.map { try $0[0].decode(Int.self) } == [1, 5])
  }

  @Test("closing ends idle sessions and refuses callers")
  func closing() async throws {
    let pool = PQPool(try await newDatabase(), maximumConnections: 1, logger: quietLogger)
    let connection = try await pool.withConnection { $0 }
    try await pool.withConnection { _ in
      let waiter = Task { try await pool.execute("SELECT 1") }
      await pool.close()
      let error = try await postgresError { _ = try await waiter.value }
      #expect(error.code == .closed)
    }
    #expect(try await postgresError { try await pool.execute("SELECT 1") }.code == .closed)
    #expect(connection.isClosed)
  }
}
