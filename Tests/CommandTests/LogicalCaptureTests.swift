import Foundation
import LibPQ
import LocalPostgres
import TestSupport
import Testing
import TidemarkPostgres
import TidemarkStreams

@Suite("Capture by decoding on the command line", .sharesMachine)
struct LogicalCaptureTests {
  private static let enable = ["stream", "enable", "item", "--capture", "logical", "--shards", "1"]

  private func withServer(_ body: (LocalPostgres) async throws -> Void) async throws {
    var configuration = LocalPostgresConfiguration()
    configuration.settings = ["wal_level": "logical", "fsync": "off", "max_prepared_transactions": "3"]
    try await withLocalPostgres(configuration) { try await body($0) }
  }

  /// Runs `body` with a command that enables, and waits for a transaction of another database.
  private func whileWaiting(
    _ body: (CommandDatabase, RunningCommand, _ end: () async throws -> Void) async throws -> Void
  ) async throws {
    try await withServer { server in
      let database = try await CommandDatabase.make(at: server.url())
      try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
      try await server.createDatabase("elsewhere")
      let elsewhere = try await PQConnection.connect(
        try PQConfiguration(url: server.url(database: "elsewhere")),
        logger: CommandDatabase.logger
      )
      try await elsewhere.executeScript("BEGIN; CREATE TABLE other (id int); PREPARE TRANSACTION 'orphan'")
      let command = try database.tidemark.start(Self.enable)
      try await eventually("it says for whom it waits") {
        command.errors.contains("ROLLBACK PREPARED 'orphan' (or COMMIT PREPARED) in the database elsewhere")
      }
      try await body(database, command) { try await elsewhere.execute("ROLLBACK PREPARED 'orphan'") }
      await elsewhere.close()
    }
  }

  private func count(_ sql: String, in database: CommandDatabase) async throws -> Int64 {
    try await database.pool.query(PQStatement(sql))[0].decode(Int64.self)
  }

  private func traces(in database: CommandDatabase) async throws -> Int64 {
    try await count(
      """
      SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)
        + (SELECT count(*) FROM pg_class WHERE relreplident = 'f' AND relkind = 'r')
        + (SELECT count(*) FROM tidemark.logical_capture)
      """,
      in: database
    )
  }

  @Test("A signal ends an enabling that waits, and nothing is left", arguments: [SIGINT, SIGTERM])
  func signal(signal: Int32) async throws {
    try await whileWaiting { database, command, _ in
      command.signal(signal)
      let outcome = await command.outcome
      let left = try await traces(in: database)
      #expect(outcome.status == 128 + signal)
      #expect(left == 0)
    }
  }

  @Test("After SIGKILL no process of the server makes the slot, and the next command removes the rest")
  func death() async throws {
    try await whileWaiting { database, command, end in
      command.signal(SIGKILL)
      _ = await command.outcome
      try await eventually("the server has noticed") {
        try await count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", in: database)
          == 0
      }
      #expect(try await traces(in: database) == 3)
      try await end()
      #expect(try await count("SELECT count(*) FROM pg_replication_slots", in: database) == 0)
      let listed = try await database.tidemark.run("stream", "list")
      #expect(listed.status == 0 && listed.errors.isEmpty, "\(listed.errors)")
      #expect(try await traces(in: database) == 0)
      #expect(try await database.tidemark.start(Self.enable).outcome.status == 0)
    }
  }

  @Test(
    "describe shows the slot's limits, and whatever command comes next ends a stream whose slot keeps too much"
  )
  func slotLimit() async throws {
    // Nobody else writes to its log.
    try await withServer { server in
      let database = try await CommandDatabase.make(at: server.url())
      try await database.run(
        "CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)"
      )
      let option = ["--capture", "logical", "--max-slot-lag", "4"]
      for table in ["item", "other"] {
        let enabled = try await database.tidemark.start(["stream", "enable", table] + option).outcome
        #expect(enabled.errors.contains("ALTER SYSTEM SET max_slot_wal_keep_size = '4MB'"))
      }
      let described = try await database.tidemark.run("stream", "describe", "item")
      #expect(described.output.contains("of 4 MiB"))
      #expect(described.output.contains("ALTER SYSTEM SET max_slot_wal_keep_size = '4MB'"))
      try await database.run("SELECT pg_logical_emit_message(true, 'filler', repeat('x', 8000000))")
      let checked = try await database.tidemark.run("stream", "check")
      #expect(checked.status == 1)
      #expect(checked.output.contains("more than the 4096 kB that it may"))
      for table in ["item", "other"] {
        #expect(try await database.describe(table).status == .disabled)
      }
      #expect(try await database.tidemark.run("stream", "check").status == 0)
    }
  }
}
