import LibPQ
import LocalPostgres
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// What a capture keeps of its place from one session to the next.
@Suite("A capture that is restarted", .sharesMachine)
struct CaptureRestartTests {
  /// How a capture ends.
  enum End: String, CaseIterable, Sendable {
    /// Its process is asked to end.
    case cancelled
    /// The server's process that decodes is ended.
    case walsender
    /// Every session of the process is ended.
    case sessions
  }

  private static let capturedCount =
    "SELECT coalesce(sum(c), 0)::bigint FROM tidemark.step p CROSS JOIN unnest(p.shard_counts) AS c"

  private func items() async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    return database
  }

  private func end(_ end: End, in database: StreamDatabase) async throws {
    switch end {
    case .cancelled: break
    case .walsender:
      try await database.run(
        """
        SELECT pg_terminate_backend(r.active_pid) FROM pg_replication_slots r
        WHERE r.database = current_database() AND r.active
        """
      )
    case .sessions:
      try await database.run(
        """
        SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.application_name <> 'writer'
        """
      )
    }
  }

  @Test("An attribute of a composite type that is renamed has its new name in images soon, and that is noted")
  func renamedAttribute() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TYPE address AS (street text, no int); CREATE DOMAIN home AS address;
      CREATE TABLE item (id int PRIMARY KEY, homes home[])
      """
    )
    try await database.admin.enable(table: "item", viewType: .newImage, capture: .logical, shardCount: 1)
    try await database.admin.maintain()
    let stream = try database.stream("item")
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await stream.run() }
      defer { group.cancelAll() }
      func captured(_ id: Int) async throws -> String? {
        try await database.run("INSERT INTO item VALUES (\(id), ARRAY[ROW('s', \(id))::home])")
        try await eventually("it is captured") {
          try await database.number("SELECT count(*) FROM tidemark.log_2") == id
        }
        return try await database.stream("item").readAll().last?.change?.newImage?.description
      }
      #expect(try await captured(1)?.contains("street") == true)
      try await database.run("ALTER TYPE address RENAME ATTRIBUTE street TO road")
      try await database.admin.maintain()
      #expect(try await captured(2) == #"{"id":2,"homes":[{"road":"s","no":2}]}"#)
    }
    let problem = try #require(try await database.admin.describe("item").problems.first)
    #expect(problem.condition == "types" && problem.problem.contains("address.road") && problem.goneAt != nil)
    try await database.admin.maintain()
    #expect(try await database.admin.describe("item").problems.count == 1)
  }

  @Test(
    "Behind single rows at a slow pace, every restart goes on with the next change",
    arguments: End.allCases
  )
  func slowRows(way: End) async throws {
    let database = try await items()
    let ids = SharedCounter()
    for _ in 1...40 {
      let stream = try database.stream("item")
      try await pumping(stream) {
        for _ in 1...Int.random(in: 1...3) {
          ids.add()
          try await database.run("INSERT INTO item VALUES (\(ids.value))")
          // At any moment of the capture of the last one: the pauses are what the test tries, not a wait.
          try await Task.sleep(for: .microseconds(Int.random(in: 0...40_000)))
        }
        try await end(way, in: database)
      }
    }
    let keys = try await database.stream("item").readAll().map(\.partitionKey)
    #expect(keys == (1...ids.value).map { #"{"id":\#($0)}"# })
  }

  @Test("Under load, every restart goes on with the next change", arguments: End.allCases)
  func load(way: End) async throws {
    let database = try await items()
    let ids = SharedCounter()
    let stops = SharedCounter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 1...2 {
        // Not ended with the process that captures: a writer whose commit is in doubt proves nothing.
        var configuration = try PQConfiguration(url: database.url)
        configuration.applicationName = "writer"
        let writer = try await PQConnection.connect(configuration, logger: StreamDatabase.logger)
        group.addTask {
          while stops.value == 0 {
            let new = ids.take(Int.random(in: 1...200))
            try await writer.execute(
              "INSERT INTO item SELECT generate_series(\(new.lowerBound), \(new.upperBound))"
            )
          }
          await writer.close()
        }
      }
      for _ in 1...40 {
        let stream = try database.stream("item")
        try await pumping(stream) {
          // At any moment of an append: the pause is what the test tries, not a wait.
          try await Task.sleep(for: .milliseconds(Int.random(in: 1...100)))
          try await end(way, in: database)
        }
      }
      stops.add()
      try await group.waitForAll()
    }
    let keys = try await database.stream("item").readAll().map(\.partitionKey)
    #expect(keys.count == ids.value)
    #expect(Set(keys) == Set((1...ids.value).map { #"{"id":\#($0)}"# }))
  }

  @Test("Disabling after a large transaction takes one session with the slot")
  func largeTransaction() async throws {
    let database = try await items()
    try await database.run(
      "CREATE TABLE other (v text); INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 150000)"
    )
    let log = CollectedLog()
    try await PostgresStreamAdmin(database.pool, logger: log.logger).disable("item")
    // Each is reported.
    #expect(log.lines.count { $0.contains("which captures it") } <= 1, "\(log.lines)")
  }

  @Test("The stored place counts no changes of a transaction that was confirmed as a whole")
  func storedPlace() async throws {
    let database = try await items()
    let stream = try database.stream("item")
    try await pumping(stream) {
      for id in 1...60 {
        try await database.run("INSERT INTO item VALUES (\(id))")
        try await eventually("the change is captured and confirmed, and nothing of it is counted") {
          try await database.number(
            """
            SELECT count(*) FROM tidemark.logical_capture c
            JOIN pg_replication_slots r ON r.slot_name = tidemark.slot_name(c.capture_id)
            CROSS JOIN LATERAL (SELECT p.lsn, p.changes FROM tidemark.capture_progress p
              WHERE p.capture_id = c.capture_id ORDER BY p.head DESC LIMIT 1) AS p
            WHERE p.changes = 0 AND r.confirmed_flush_lsn >= p.lsn
              AND (\(Self.capturedCount)) = \(id)
            """
          ) == 1
        }
      }
    }
  }

  @Test("A passing error that no retry is meant for is ridden out, for as long as the slot lives")
  func passingError() async throws {
    let database = try await items()
    let stream = try database.stream("item")
    // As a missing right, a full disk or a setting would: the statement is refused, and nothing says that it passes.
    try await database.run(
      "ALTER FUNCTION tidemark.append_captured RENAME TO append_hidden; INSERT INTO item VALUES (1)"
    )
    try await pumping(stream) {
      // A capture that has failed gives the slot up.
      try await eventually("the capture has failed") {
        try await database.number(
          """
          SELECT count(*) FROM pg_stat_activity a WHERE a.datname = current_database()
            AND a.query LIKE '%append_captured%' AND a.state = 'idle' AND a.pid <> pg_backend_pid()
          """
        ) > 0
      }
      try await database.run("ALTER FUNCTION tidemark.append_hidden RENAME TO append_captured")
      try await eventually(within: .seconds(60), "the change is captured") {
        try await database.number(Self.capturedCount) == 1
      }
    }
    #expect(try await database.admin.describe("item").status == .enabled)
  }

  @Test("A server that takes the slot for its synchronous standby goes on")
  func synchronousStandby() async throws {
    var configuration = LocalPostgresConfiguration()
    configuration.settings = ["wal_level": "logical", "fsync": "off"]
    try await withLocalPostgres(configuration) { server in
      let database = try await StreamDatabase.make(at: server.url())
      try await database.run("CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE other (id int)")
      try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
      let stream = try database.stream("item")
      try await pumping(stream) {
        try await database.run("INSERT INTO item VALUES (0)")
        try await eventually("it is captured") {
          try await database.number(Self.capturedCount) == 1
        }
        // No transaction block, so one statement each.
        try await database.pool.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        _ = try await database.pool.query("SELECT pg_reload_conf()")
        try await eventually("the capture counts as a standby") {
          try await database.number(
            "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
          ) == 1
        }
        for id in 1...20 {
          try await database.run(
            "SET statement_timeout = '20s'; INSERT INTO item VALUES (\(id)); INSERT INTO other VALUES (\(id))"
          )
        }
        try await eventually("all is captured") {
          try await database.number(Self.capturedCount) == 21
        }
      }
    }
  }

  @Test("A disabling whose maker dies is completed by whoever looks after the stream")
  func disablingCutShort() async throws {
    let database = try await items()
    let stream = try database.stream("item")
    try await database.run("INSERT INTO item VALUES (1)")
    // The first step, and no other.
    _ = try await database.pool.query("SELECT tidemark.end_logical_capture(tidemark.find_stream('item'))")
    try await database.run("INSERT INTO item VALUES (2)")
    try await pumping(stream) {
      try await eventually("the stream is disabled") {
        try await database.admin.maintain()
        return try await database.admin.describe("item").status == .disabled
      }
    }
    #expect(try await stream.readAll(untilEnd: true).map(\.partitionKey) == [#"{"id":1}"#])
    #expect(
      try await database.number(
        "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
      ) == 0
    )
  }

  @Test("A slot that no capture is known of is dropped")
  func orphanedSlot() async throws {
    let database = try await items()
    try await database.run("DELETE FROM tidemark.logical_capture")
    try await eventually("maintenance has dropped it") {
      try await database.admin.maintain()
      return try await database.number(
        "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
      ) == 0
    }
  }
}
