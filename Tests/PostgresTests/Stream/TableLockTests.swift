import LibPQ
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import TidemarkStreams

/// What holds a lock on a user's table, or waits for one, and how long the user's own statements stand still for it.
@Suite("Locks on a stream's table", .needsMachineAlone)
struct TableLockTests {
  /// The longest that a statement may wait because of us.
  private static let longest = Duration.seconds(1)

  private final class Longest: Sendable {
    private let longest = Mutex(Duration.zero)
    var value: Duration { longest.withLock { $0 } }
    func note(_ duration: Duration) { longest.withLock { $0 = max($0, duration) } }
  }

  private func items(_ rows: Int, _ capture: StreamCapture) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make(connections: 12)
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, ends timestamptz, filling text NOT NULL DEFAULT repeat('x', 500));
      INSERT INTO item SELECT i FROM generate_series(1, \(rows)) AS i
      """
    )
    try await database.admin.enable(table: "item", viewType: .newImage, capture: capture, shardCount: 1)
    return database
  }

  /// Reads and writes the table all the time while `body` runs, and returns the longest that one statement took.
  private func watching(_ database: StreamDatabase, _ body: () async throws -> Void) async throws -> Duration
  {
    let longest = Longest()
    let isOver = SharedCounter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for statement in [
        "SELECT count(*) FROM (SELECT FROM item LIMIT 1) AS i", "UPDATE item SET n = n + 1 WHERE id = 1",
      ]
        as [PQStatement]
      {
        group.addTask {
          while isOver.value == 0 {
            let began = ContinuousClock.now
            _ = try await database.pool.query(statement)
            let took = began.duration(to: .now)
            longest.note(took)
            // A pace, so that the two do not take the machine from what is tried; nothing waits for it.
            try await Task.sleep(for: .milliseconds(5))
          }
        }
      }
      defer { isOver.add() }
      try await body()
      isOver.add()
      try await group.waitForAll()
    }
    return longest.value
  }

  @Test(
    "A statement that needs the whole table makes a snapshot begin again, and nobody waits for long",
    arguments: StreamCapture.allCases,
    [
      "TRUNCATE item; INSERT INTO item (id) VALUES (1)", "ALTER TABLE item ADD COLUMN more int",
      "LOCK TABLE item",
    ]
  )
  func snapshotGivesWay(capture: StreamCapture, statement: String) async throws {
    let database = try await items(60_000, capture)
    let stream = try database.stream("item", connections: 8)
    let view = try await withThrowingTaskGroup(of: (any StreamSource)?.self) { group in
      group.addTask { try await stream.startingWithSnapshot(for: "a", isNew: true) }
      try await eventually("rows are copied") {
        try await database.number("SELECT count(*) FROM tidemark.snapshot WHERE completed_at IS NULL") == 1
      }
      let longest = try await watching(database) {
        let began = ContinuousClock.now
        try await database.run("BEGIN; \(statement); COMMIT")
        let took = began.duration(to: .now)
        #expect(took < Self.longest, "the statement took \(took)")
      }
      #expect(longest < Self.longest, "a reader or writer waited for \(longest)")
      return try #require(try await group.next() ?? nil)
    }
    // It is a snapshot of the table as it is now.
    let records = try await #require(view as? PostgresStream).readAll()
    let rows = try await database.number("SELECT count(*) FROM item")
    #expect(records.count { $0.change?.isSnapshot == true } == rows)
  }

  @Test("Disabling does not wait for a session that only reads the table", arguments: StreamCapture.allCases)
  func disablingBesideAReader(capture: StreamCapture) async throws {
    let database = try await items(10, capture)
    let reader = try StreamDatabase.makePool(database.url, connections: 1)
    try await reader.transaction { transaction in
      _ = try await transaction.query("SELECT count(*) FROM item")
      let longest = try await watching(database) { try await database.admin.disable("item") }
      #expect(longest < Self.longest, "a reader or writer waited for \(longest)")
      #expect(try await database.admin.describe("item").status == .disabled)
    }
    // What had to wait for the reader is done later: the table is as it was.
    try await eventually("nothing is left at the table") {
      try await database.admin.maintain()
      return try await database.number(
        """
        SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'item'::regclass AND NOT tgisinternal)
          + (SELECT count(*) FROM pg_class WHERE oid = 'item'::regclass AND relreplident = 'f')
        """
      ) == 0
    }
  }

  @Test(
    "A stream is enabled again although the one before has left its triggers",
    arguments: StreamCapture.allCases
  )
  func enablingAgain(capture: StreamCapture) async throws {
    let database = try await items(1, capture)
    let reader = try StreamDatabase.makePool(database.url, connections: 1)
    try await reader.transaction { transaction in
      _ = try await transaction.query("SELECT count(*) FROM item")
      try await database.admin.disable("item")
      try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .trigger, shardCount: 1)
    }
    try await database.run("INSERT INTO item VALUES (2)")
    try await database.admin.maintain()
    try await database.run("INSERT INTO item VALUES (3)")
    let stream = try database.stream("item")
    #expect(
      try await stream.readAll().map(\.summary) == [#"INSERT {"id":2}"#, #"INSERT {"id":3}"#]
    )
    try await database.admin.disable("item")
    #expect(
      try await database.text("SELECT relreplident::text FROM pg_class WHERE oid = 'item'::regclass") == "d"
    )
  }

  @Test(
    "Enabling and disabling that have to wait for a writer fail in time, change nothing, and name the writer",
    arguments: StreamCapture.allCases
  )
  func writerInTheWay(capture: StreamCapture) async throws {
    let database = try await items(10, capture)
    let writer = try StreamDatabase.makePool(database.url, connections: 1)
    try await writer.transaction { transaction in
      _ = try await transaction.query("UPDATE item SET n = 1 WHERE id = 2")
      let pid = try await transaction.query("SELECT pg_backend_pid()")[0].decode(Int32.self)
      let longest = try await watching(database) {
        let error = try await #require(throws: TidemarkError.self) {
          try await database.admin.disable("item")
        }
        #expect(error.code == .sourceUnavailable)
        #expect(error.message.contains("process \(pid)"), "\(error)")
      }
      #expect(longest < Self.longest, "a reader or writer waited for \(longest)")
    }
    #expect(try await database.admin.describe("item").status == .enabled)
    let stream = try database.stream("item")
    try await database.run("INSERT INTO item VALUES (11)")
    let keys = try await stream.readAll().map(\.partitionKey)
    #expect(keys.last == #"{"id":11}"#)
    try await database.admin.disable("item")
  }

  @Test("A stream is disabled while a snapshot of it is copied")
  func disablingBesideASnapshot() async throws {
    let database = try await items(60_000, .trigger)
    let stream = try database.stream("item", connections: 8)
    try await withThrowingTaskGroup(of: (any StreamSource)?.self) { group in
      group.addTask { try await stream.startingWithSnapshot(for: "a", isNew: true) }
      try await eventually("rows are copied") {
        try await database.number("SELECT count(*) FROM tidemark.snapshot WHERE completed_at IS NULL") == 1
      }
      let longest = try await watching(database) { try await database.admin.disable("item") }
      #expect(longest < Self.longest, "a reader or writer waited for \(longest)")
      let view = try #require(try await group.next() as? PostgresStream)
      #expect(try await view.readAll(untilEnd: true).count { $0.change?.isSnapshot == true } == 60_000)
    }
  }
  /// What an administrator does, in this order.
  private static let administration: [(name: String, does: @Sendable (StreamDatabase) async throws -> Void)] =
    [
      ("describe", { _ = try await $0.admin.describe("item") }),
      ("check", { _ = try await $0.admin.conditions() }),
      ("watch", { _ = try await $0.admin.watchConditions() }),
      (
        "alter",
        {
          try await $0.admin.alter("item") { settings in
            settings.retention = .seconds(7200)
            settings.expiryColumn = "ends"
            settings.maximumImageSize = 1 << 21
          }
        }
      ),
      (
        "split and merge",
        {
          let whole = try #require(try await $0.stream("item").shards().first)
          let halves = try await $0.admin.split(whole.id, of: "item")
          _ = try await $0.admin.merge(halves[0], halves[1], of: "item")
        }
      ),
      ("snapshot", { _ = try await $0.stream("item").startingWithSnapshot(for: "a", isNew: true) }),
      ("drop a snapshot", { try await $0.admin.dropSnapshots(for: "a") }),
      ("maintain", { _ = try await $0.admin.maintain() }),
      ("grant", { try await $0.admin.grant(.consumer, to: "pg_monitor", stream: "item") }),
      ("revoke", { try await $0.admin.revokeAll(from: "pg_monitor") }),
      ("migrate", { try await Migrator.migrateAll($0.pool, logger: StreamDatabase.logger) }),
      (
        "restore",
        { _ = try await Migrator($0.pool, schema: .streams, logger: StreamDatabase.logger).afterRestore() }
      ),
      ("disable", { try await $0.admin.disable("item") }),
      ("enable by triggers", { try await $0.admin.enable(table: "item", capture: .trigger) }),
    ]

  @Test(
    "No administrative command keeps a writer of a large table, or a reader, for long beside a transaction that reads it",
    arguments: StreamCapture.allCases
  )
  func administration(capture: StreamCapture) async throws {
    let database = try await items(60_000, capture)
    try await database.run("CREATE INDEX ON item (ends)")
    let reader = try StreamDatabase.makePool(database.url, connections: 1)
    var pauses: [(name: String, pause: Duration)] = []
    try await reader.transaction { transaction in
      _ = try await transaction.query("SELECT count(*) FROM item")
      for command in Self.administration {
        let pause = try await watching(database) { try await command.does(database) }
        pauses.append((command.name, pause))
      }
    }
    // It takes the triggers away, for which it waits for the end of readers: see the test of a writer in the way.
    let pause = try await watching(database) {
      let left = try await database.admin.dropAll()
      #expect(left.isEmpty)
    }
    pauses.append(("drop all", pause))
    let slow = pauses.filter { $0.pause >= Self.longest }.map { "\($0.name): \($0.pause)" }
    #expect(slow == [], "\(pauses)")
  }
}
