import LocalPostgres
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@testable import LibPQ
@testable import TidemarkPostgres
@testable import TidemarkStreams

/// A new slot waits for all transactions of the server that have written: each test has a server of its own.
@Suite("Enabling by decoding that has to wait", .sharesMachine)
struct LogicalEnablingTests {
  /// A server with the table `item` in one database, and `other` in another.
  private struct Scene {
    var database: StreamDatabase
    var elsewhere: PQPool
    let log = CollectedLog()

    var admin: PostgresStreamAdmin { PostgresStreamAdmin(database.pool, logger: log.logger) }

    static func with(settings: [String: String] = [:], _ body: (Scene) async throws -> Void) async throws {
      var configuration = LocalPostgresConfiguration()
      configuration.settings = ["wal_level": "logical", "fsync": "off", "max_prepared_transactions": "3"]
        .merging(settings) { $1 }
      try await withLocalPostgres(configuration) { server in
        let database = try await StreamDatabase.make(at: server.url())
        try await database.run("CREATE TABLE item (id int PRIMARY KEY, v text)")
        try await server.createDatabase("elsewhere")
        var other = try PQConfiguration(url: server.url(database: "elsewhere"))
        other.applicationName = "nightly"
        let elsewhere = PQPool(other, logger: StreamDatabase.logger)
        try await elsewhere.execute("CREATE TABLE other (id int)")
        try await body(Scene(database: database, elsewhere: elsewhere))
      }
    }

    func enable() async throws {
      try await admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    }

    func told(_ text: String) async throws {
      try await eventually("it is reported: \(text)") { log.lines.contains { $0.contains(text) } }
    }

    /// Runs `body` while the enabling waits for a transaction of the other database, and then for the enabling's end.
    func whileWaiting(_ body: @escaping @Sendable () async throws -> Void) async throws {
      try await withThrowingTaskGroup(of: Void.self) { group in
        try await elsewhere.transaction { open in
          try await open.execute("INSERT INTO other VALUES (1)")
          group.addTask { try await enable() }
          try await told("Enabling the stream waits for the end of a transaction")
          try await body()
        }
        try await group.waitForAll()
      }
    }

    func prepareElsewhere(_ name: String) async throws {
      try await elsewhere.withConnection {
        try await $0.executeScript("BEGIN; INSERT INTO other VALUES (1); PREPARE TRANSACTION '\(name)'")
      }
    }

    /// What there is of a capture.
    func traces() async throws -> [String] {
      try await database.pool.query(
        """
        SELECT 'slot ' || slot_name FROM pg_replication_slots UNION ALL SELECT 'publication ' || pubname FROM pg_publication
        UNION ALL SELECT 'identity of ' || relname FROM pg_class WHERE relreplident = 'f' AND relkind = 'r'
        UNION ALL SELECT 'capture ' || capture_id FROM tidemark.logical_capture
        UNION ALL SELECT 'stream ' || stream_id FROM tidemark.stream
        """
      ).map { try $0.decode(String.self) }
    }

    /// Works: what is written now is in the stream.
    func expectEnabled() async throws {
      try await database.run("INSERT INTO item VALUES (1)")
      #expect(try await database.stream("item").readAll().map(\.partitionKey) == [#"{"id":1}"#])
    }
  }

  @Test("The session of another database that it waits for is reported at once, with what ends it")
  func session() async throws {
    try await Scene.with { scene in
      try await scene.whileWaiting {
        let pid = try await scene.database.number(
          "SELECT pid FROM pg_stat_activity WHERE application_name = 'nightly' AND state = 'idle in transaction'"
        )
        let line = try #require(scene.log.lines.first)
        #expect(
          line.contains("process \(pid) (database elsewhere, role postgres, application 'nightly', idle in")
        )
        #expect(line.contains("transaction since 20"))
        #expect(line.contains("SELECT pg_terminate_backend(\(pid))"))
        // Maintenance does not take it for dead.
        try await scene.database.admin.maintain()
      }
      #expect(scene.log.lines.count { $0.contains("waits") } == 1)
      try await scene.expectEnabled()
    }
  }

  @Test("A prepared transaction that it waits for is reported at once, with what ends it")
  func preparedTransaction() async throws {
    try await Scene.with { scene in
      try await scene.prepareElsewhere("it''s an orphan")
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await scene.enable() }
        try await scene.told(
          "the prepared transaction 'it''s an orphan' (database elsewhere, owner postgres, since"
        )
        try await scene.told(
          "ROLLBACK PREPARED 'it''s an orphan' (or COMMIT PREPARED) in the database elsewhere"
        )
        try await scene.elsewhere.execute("ROLLBACK PREPARED 'it''s an orphan'")
        try await group.waitForAll()
      }
      try await scene.expectEnabled()
    }
  }

  @Test("It is reported again after half a minute, and at once when another one is in the way")
  func repetition() async throws {
    let (log, clock, looks) = (CollectedLog(), ManualClock(), SharedCounter())
    let notice = WaitNotice(message: "Something waits", logger: log.logger, clock: clock)
    try await notice.telling {
      looks.add()
      // What the holder does just now is no news.
      let state = looks.value % 2 == 0 ? "active" : "idle"
      return [LockHolder(description: state, remedy: looks.value < 65 ? "end the first" : "end the second")]
    } while: {
      for _ in 1...70 {
        try await eventually("it has looked") { clock.sleeperCount == 1 }
        clock.advance(by: .milliseconds(500))
      }
      try await eventually("it has looked") { clock.sleeperCount == 1 }
    }
    #expect(looks.value == 70)
    #expect(log.lines.map { $0.contains("end the first") } == [true, true, false])
  }

  enum Step: CaseIterable, Sendable {
    /// It waits for a writer of the table, to prepare it.
    case table
    /// The server waits for a transaction elsewhere, to make the slot.
    case slot
    /// It waits for the table again, to begin the stream.
    case beginning
  }

  @Test("It leaves nothing when it is cancelled, whatever it waits for", arguments: Step.allCases)
  func cancelled(step: Step) async throws {
    try await Scene.with { scene in
      func cancel(when told: String) async throws {
        let enabling = Task { try await scene.enable() }
        try await scene.told(told)
        enabling.cancel()
        _ = await #expect(throws: CancellationError.self) { try await enabling.value }
      }
      let isTold = "Enabling the stream waits for a lock on the table"
      switch step {
      case .table:
        try await scene.database.pool.transaction { writer in
          try await writer.execute("INSERT INTO item VALUES (9)")
          try await cancel(when: isTold)
          #expect(try await scene.traces() == [])
        }
      case .slot:
        try await scene.prepareElsewhere("orphan")
        try await cancel(when: "waits for the end of a transaction")
        #expect(try await scene.traces() == [])
        try await scene.elsewhere.execute("ROLLBACK PREPARED 'orphan'")
      case .beginning:
        try await scene.prepareElsewhere("orphan")
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await cancel(when: isTold) }
          try await scene.told("waits for the end of a transaction")
          try await scene.database.pool.transaction { reader in
            // It has written nothing, so that no slot waits for it.
            try await reader.execute("LOCK TABLE item IN ROW EXCLUSIVE MODE")
            try await scene.elsewhere.execute("ROLLBACK PREPARED 'orphan'")
            try await group.waitForAll()
            #expect(try await scene.traces() == ["identity of item", "capture 1"])
            try await scene.told("The table keeps REPLICA IDENTITY FULL")
          }
        }
        try await scene.admin.maintain()
        #expect(try await scene.traces() == [])
      }
      try await scene.enable()
      try await scene.expectEnabled()
    }
  }

  enum Failure: CaseIterable, Sendable {
    /// The server ends the session that waits, as when its slot keeps more than max_slot_wal_keep_size.
    case sessionEnded
    case tableDropped
    case wrongSettings
    case noFreeSlot
  }

  @Test("It leaves nothing when it fails after the table was prepared", arguments: Failure.allCases)
  func failure(way: Failure) async throws {
    try await Scene.with(settings: way == .noFreeSlot ? ["max_replication_slots": "0"] : [:]) { scene in
      let error = try await #require(throws: TidemarkError.self) {
        switch way {
        case .sessionEnded:
          try await scene.whileWaiting {
            try await scene.database.run(
              "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            )
          }
        case .tableDropped: try await scene.whileWaiting { try await scene.database.run("DROP TABLE item") }
        case .wrongSettings:
          try await scene.admin.enable(table: "item", capture: .logical, expiryColumn: "nothing")
        case .noFreeSlot: try await scene.enable()
        }
      }
      switch way {
      case .sessionEnded: #expect(error.isRetryable, "\(error)")
      case .tableDropped: #expect(error.code == .unsupported, "\(error)")
      case .wrongSettings: #expect(error.message.contains("nothing"), "\(error)")
      case .noFreeSlot: #expect("\(error)".contains("max_replication_slots"), "\(error)")
      }
      #expect(try await scene.traces() == [])
    }
  }

  @Test("A stream whose last COMMIT was not answered keeps its slot")
  func unknownCommit() async throws {
    try await Scene.with { scene in
      func waitForStandby(_ name: String) async throws {
        for statement in [
          "ALTER SYSTEM SET synchronous_standby_names = '\(name)'", "SELECT pg_reload_conf()",
        ] {
          try await scene.elsewhere.execute(PQStatement(statement))
        }
      }
      let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
      try await withThrowingTaskGroup(of: Void.self) { group in
        try await scene.prepareElsewhere("orphan")
        group.addTask {
          await #expect(throws: TidemarkError.self) { try await scene.enable() }
        }
        try await scene.told("waits for the end of a transaction")
        // There is none, so the COMMIT is done and not answered.
        try await waitForStandby("*")
        try await scene.elsewhere.withConnection { connection in
          try await connection.execute("SET synchronous_commit = local")
          try await connection.execute("ROLLBACK PREPARED 'orphan'")
        }
        try await eventually("the session waits for the standby") {
          try await scene.database.number("SELECT count(*) \(waiting)") == 1
        }
        try await scene.database.run("SELECT pg_terminate_backend(pid) \(waiting)")
        try await waitForStandby("")
        try await group.waitForAll()
      }
      #expect(try await scene.traces().count == 5)
      try await scene.expectEnabled()
    }
  }

  @Test(
    "The server's process that makes a slot for a snapshot does not outlive its maker by more than its patience"
  )
  func deadMaker() async throws {
    try await Scene.with { scene in
      try await scene.prepareElsewhere("orphan")
      let maker = try await PQConnection.connect(
        try PQConfiguration(url: scene.database.url).replicating(with: SnapshotMaker.slotSettings),
        logger: StreamDatabase.logger
      )
      let making = Task {
        try await maker.makeSlot("CREATE_REPLICATION_SLOT cut TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT")
      }
      let slots = "SELECT count(*) FROM pg_replication_slots"
      try await eventually("the server waits") { try await scene.database.number(slots) == 1 }
      await maker.close()
      await #expect(throws: PQError.self) { try await making.value }
      try await eventually("it waits no longer") { try await scene.database.number(slots) == 0 }
      try await scene.elsewhere.execute("ROLLBACK PREPARED 'orphan'")
      #expect(try await scene.database.number(slots) == 0)
    }
  }

  @Test("A snapshot says for whom it waits")
  func snapshot() async throws {
    try await Scene.with { scene in
      try await scene.enable()
      try await scene.prepareElsewhere("orphan")
      let stream = PostgresStream("item", pool: scene.database.pool, logger: scene.log.logger)
      try await withThrowingTaskGroup(of: (any StreamSource).self) { group in
        group.addTask { try await stream.startingWithSnapshot(for: "a", isNew: true) }
        try await scene.told("The snapshot waits for the end of transactions")
        try await scene.told("ROLLBACK PREPARED 'orphan'")
        try await scene.elsewhere.execute("ROLLBACK PREPARED 'orphan'")
        try await group.waitForAll()
      }
    }
  }

  @Test("Disabling says for whom it waits")
  func disabling() async throws {
    try await Scene.with { scene in
      try await scene.enable()
      // Somebody who has the slot and captures nothing.
      let slot = try #require(try await scene.admin.describe("item").slot?.name)
      let idler = try await scene.database.pool.startReplication(
        .init(slot: slot, options: ["proto_version": "1", "publication_names": "tidemark_1"])
      )
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await scene.admin.disable("item") }
        try await scene.told("Disabling the stream waits until what was committed before is captured")
        try await scene.told("which captures it and has")
        await idler.close()
        try await group.waitForAll()
      }
      #expect(try await scene.admin.describe("item").status == .disabled)
      #expect(try await scene.database.number("SELECT count(*) FROM pg_replication_slots") == 0)
    }
  }
}
