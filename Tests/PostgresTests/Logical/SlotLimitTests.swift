import LibPQ
import LocalPostgres
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// How much of the server's log a slot keeps for a stream that nobody captures.
@Suite("The limit of a slot", .sharesMachine)
struct SlotLimitTests {
  private static let mebibyte = 1 << 20

  private func items(_ database: StreamDatabase, limit: Int = mebibyte, log: CollectedLog = .init())
    async throws
  {
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await PostgresStreamAdmin(database.pool, logger: log.logger).enable(
      table: "item",
      viewType: .keysOnly,
      capture: .logical,
      maximumSlotLag: limit,
      shardCount: 1
    )
  }

  private func exceedLimit(_ database: StreamDatabase) async throws {
    try await database.run("SELECT pg_logical_emit_message(true, 'filler', repeat('x', 4000000))")
  }

  /// On a server of the test's own.
  private func withServer(_ settings: [String: String], _ body: (StreamDatabase) async throws -> Void)
    async throws
  {
    var configuration = LocalPostgresConfiguration()
    configuration.settings = ["wal_level": "logical", "fsync": "off"].merging(settings) { $1 }
    try await withLocalPostgres(configuration) { server in
      try await body(try await StreamDatabase.make(at: server.url()))
    }
  }

  /// What was captured is read, and then that more is lost.
  private func expectLoss(after summaries: [String], of stream: PostgresStream) async throws {
    let reader = try await stream.reader(of: try await stream.shards()[0].id, after: .trimHorizon)
    var records: [Record] = []
    let error = try await #require(throws: TidemarkError.self) {
      while true { records += try await reader.nextPage(maximumRecords: 100).records }
    }
    #expect(error.code == .captureLost)
    #expect(records.map(\.summary) == summaries)
  }

  @Test("A stream whose log the server has removed is ended by the next worker, which says why")
  func serverLimit() async throws {
    try await withServer(["max_slot_wal_keep_size": "1MB"]) { database in
      try await items(database, limit: 100 * Self.mebibyte)
      let stream = try database.stream("item")
      try await database.run("INSERT INTO item VALUES (1)")
      try await stream.sequenceCommitted()
      // Nobody captures this, and the log goes on to a third segment.
      try await database.run("INSERT INTO item VALUES (2)")
      for _ in 1...2 {
        try await exceedLimit(database)
        try await database.run("SELECT pg_switch_wal()")
      }
      try await database.run("CHECKPOINT")
      #expect(try await database.admin.describe("item").slot?.walStatus == "lost")
      try await pumping(stream) {
        try await eventually("the worker has ended the stream") {
          try await database.admin.describe("item").status == .disabled
        }
      }
      let description = try await database.admin.describe("item")
      #expect(
        description.captureFailure?.hasSuffix(
          "has lost its place: the server has removed write-ahead log that it needed (its max_slot_wal_keep_size is 1MB)"
        ) == true
      )
      #expect(description.slot == nil)
      try await expectLoss(after: [#"INSERT {"id":1}"#], of: stream)
    }
  }

  @Test(
    "A stream whose slot the server takes for idle is ended by the next worker, which says why",
    .needsPostgres(18)
  )
  func idleTimeout() async throws {
    try await withServer(["idle_replication_slot_timeout": "1s"]) { database in
      try await items(database)
      try await eventually("the slot is lost") {
        try await database.run("CHECKPOINT")
        return try await database.admin.describe("item").slot?.walStatus == "lost"
      }
      try await database.admin.maintainCaptures()
      let failure = try await database.admin.describe("item").captureFailure
      #expect(failure?.contains("longer than the server's idle_replication_slot_timeout (1s)") == true)
    }
  }

  @Test("Where the server has no limit, enabling warns of it, and what it advises makes it hold")
  func unlimited() async throws {
    try await withServer([:]) { database in
      let log = CollectedLog()
      try await items(database, limit: 20 * Self.mebibyte, log: log)
      let statement = "ALTER SYSTEM SET max_slot_wal_keep_size = '20MB'"
      let warning = try #require(log.lines.first)
      #expect(warning.contains("keeps any amount of write-ahead log for the slot, not 20 MiB"))
      #expect(warning.contains("\(statement); SELECT pg_reload_conf();"))
      func advice(with limit: String) async throws -> String? {
        try await database.run("ALTER SYSTEM SET max_slot_wal_keep_size = '\(limit)'")
        try await database.run("SELECT pg_reload_conf()")
        try await eventually("the setting is \(limit)") {
          try await database.text("SHOW max_slot_wal_keep_size") == limit
        }
        return try await database.admin.describe("item").slot?.advice
      }
      #expect(try await advice(with: "1GB")?.contains("up to 1024 MiB") == true)
      #expect(try await advice(with: "20MB") == nil)
      #expect(try await advice(with: "19MB")?.contains("no more than 19 MiB") == true)
    }
  }

  @Test("A slot that keeps too much ends its stream also where only another stream has a worker")
  func otherWorker() async throws {
    let database = try await StreamDatabase.make()
    try await items(database)
    try await database.admin.create("other", shardCount: 1)
    try await exceedLimit(database)
    let other = PostgresStream(
      "other",
      pool: database.pool,
      maintenanceInterval: .milliseconds(100),
      logger: StreamDatabase.logger
    )
    try await pumping(other) {
      try await eventually("it is ended") { try await database.admin.describe("item").status == .disabled }
    }
    let description = try await database.admin.describe("item")
    #expect(description.captureFailure?.contains("more than the 1024 kB that it may") == true)
    #expect(description.slot == nil)
  }

  @Test("A slot that keeps too much goes although somebody writes to the table, and the stream after that")
  func openWriter() async throws {
    let database = try await StreamDatabase.make()
    try await items(database)
    let stream = try database.stream("item")
    try await database.pool.transaction { writer in
      try await writer.execute("INSERT INTO item VALUES (1)")
      try await exceedLimit(database)
      let ended = try await database.admin.maintainCaptures()
      #expect(ended.map { $0.problem?.contains("more than the 1024 kB") } == [true])
      let description = try await database.admin.describe("item")
      #expect(description.slot == nil)
      #expect(description.status == .enabled)
    }
    try await database.admin.maintainCaptures()
    let description = try await database.admin.describe("item")
    #expect(description.status == .disabled)
    #expect(description.captureFailure?.contains("more than the 1024 kB that it may") == true)
    try await expectLoss(after: [], of: stream)
  }
}
