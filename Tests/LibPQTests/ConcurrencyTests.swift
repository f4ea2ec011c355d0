import Synchronization
import TestSupport
import Testing

@testable import LibPQ

@Suite("Many tasks on one connection", .sharesMachine)
struct ConcurrencyTests {
  @Test("callers are served in the order in which they came")
  func order() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE entry (place serial, caller int)")
    try await withThrowingTaskGroup(of: Void.self) { group in
      try await connection.transaction { _ in
        for caller in 0..<50 {
          group.addTask {
            // Detached, or it would count as work of the transaction that is to end first.
            _ = try await Task.detached {
              try await connection.execute("INSERT INTO entry (caller) VALUES (\(caller))")
            }.value
          }
          try await eventually("caller \(caller) waits") { connection.turns.waiting == caller + 1 }
        }
      }
      try await group.waitForAll()
    }
    let callers = try await connection.query("SELECT caller FROM entry ORDER BY place").map {
      try $0.decode(Int.self)
    }
    #expect(callers == Array(0..<50))
  }

  @Test("a transaction has the connection to itself among 50 tasks")
  func exclusivity() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.execute("CREATE TABLE counter (value int)")
    try await connection.execute("INSERT INTO counter VALUES (0)")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<50 {
        group.addTask {
          if task.isMultiple(of: 2) {
            try await connection.transaction { transaction in
              // Assigns the transaction its id, which a statement of others inside it would see.
              try await transaction.execute("UPDATE counter SET value = value")
              let value: Int = try await transaction.value("SELECT value FROM counter")
              await Task.yield()
              try await transaction.execute("UPDATE counter SET value = \(value + 1)")
            }
          } else {
            let isInside: Bool = try await connection.value(
              "SELECT pg_current_xact_id_if_assigned() IS NOT NULL"
            )
            #expect(!isInside)
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try await connection.value("SELECT value FROM counter", as: Int.self) == 25)
  }

  @Test("a task cancelled while it waits for its turn leaves the queue at once")
  func cancelledWaiter() async throws {
    let connection = try await connectToNewDatabase()
    try await connection.transaction { _ in
      let waiter = Task.detached { try await connection.execute("SELECT 1") }
      waiter.cancel()
      let error = try await postgresError { _ = try await waiter.value }
      #expect(error.code == .cancelled)
    }
    #expect(try await connection.value("SELECT 3", as: Int.self) == 3)
  }

  @Test("connections work side by side: a busy one does not hold up another's statements")
  func independence() async throws {
    let configuration = try await newDatabase()
    let busy = try await connect(configuration)
    let quick = try await connect(configuration)
    let bytes = [UInt8](repeating: 7, count: 10_000_000)
    let clock = ContinuousClock()
    let worker = Task {
      var times: [Duration] = []
      for _ in 0..<5 { times.append(try await clock.measure { _ = try await busy.query("SELECT \(bytes)") }) }
      return times.sorted()
    }
    let isDone = Atomic(false)
    async let done: Void = {
      _ = await worker.result; isDone.store(true, ordering: .relaxed)
    }()
    var times: [Duration] = []
    repeat {
      times.append(try await clock.measure { _ = try await quick.query("SELECT 1") })
    } while !isDone.load(ordering: .relaxed)
    await done
    let busyTimes = try await worker.value
    // Waiting for the other's statements would show in every one of these.
    #expect(times.sorted()[times.count / 2] < busyTimes[busyTimes.count / 2])
  }

  @Test("a connection that nobody holds any more closes its session")
  func deinitialization() async throws {
    let configuration = try await newDatabase()
    let observer = try await connect(configuration)
    func use() async throws -> Int {
      let connection = try await connect(configuration)
      _ = try await connection.listen(to: "channel")
      return try await connection.value("SELECT pg_backend_pid()")
    }
    let processID = try await use()
    try await eventually("the session has ended") {
      try await observer.query("SELECT 1 FROM pg_stat_activity WHERE pid = \(processID)").isEmpty
    }
  }

  @Test("closing fails the statement that runs, those that wait and those that come")
  func closing() async throws {
    let configuration = try await newDatabase()
    let connection = try await connect(configuration)
    let observer = try await connect(configuration)
    let running = Task { try await connection.execute("SELECT pg_sleep(60)") }
    try await waitUntilRunning("SELECT pg_sleep", seenBy: observer)
    let waiting = Task { try await connection.execute("SELECT 1") }
    await connection.close()
    #expect(connection.isClosed)
    let error = try await postgresError { _ = try await running.value }
    #expect(error.code == .closed && error.isOutcomeUnknown)
    #expect(try await postgresError { _ = try await waiting.value }.code == .closed)
    #expect(try await postgresError { try await connection.execute("SELECT 1") }.code == .closed)
    await connection.close()
  }
}
