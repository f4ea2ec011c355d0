import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import TidemarkStreams

@Suite("Starting with a snapshot", .sharesMachine)
struct SnapshotTests {
  private func items(
    _ count: Int,
    viewType: StreamViewType = .newAndOldImages,
    capture: StreamCapture = .trigger
  ) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
      INSERT INTO item SELECT i FROM generate_series(1, \(count)) AS i
      """
    )
    try await database.admin.enable(table: "item", viewType: viewType, capture: capture, shardCount: 2)
    return database
  }

  private func snapshot(_ stream: PostgresStream, for application: String = "a") async throws
    -> PostgresStream
  {
    try #require(try await stream.startingWithSnapshot(for: application, isNew: true) as? PostgresStream)
  }

  @Test(
    "An existing row is the record that its insertion was, whatever the view type, the columns and the partitions",
    arguments: StreamViewType.allCases,
    [(StreamCapture.trigger, ""), (.trigger, "PARTITION BY HASH (id)"), (.logical, "")]
  )
  func records(viewType: StreamViewType, table: (capture: StreamCapture, partitioning: String)) async throws {
    let partitioning = table.partitioning
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE "odd ""item"" s" (id int, dropped int, "key %s" timestamptz, data bytea, amount numeric, list text[],
        doc jsonb, span interval, ratio float8, nothing text, PRIMARY KEY ("key %s", id)) \(partitioning);
      ALTER TABLE "odd ""item"" s" DROP COLUMN dropped
      """
    )
    if !partitioning.isEmpty {
      try await database.run(
        """
        CREATE TABLE part_0 PARTITION OF "odd ""item"" s" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE part_1 PARTITION OF "odd ""item"" s" FOR VALUES WITH (MODULUS 2, REMAINDER 1)
        """
      )
    }
    try await database.admin.enable(
      table: #""odd ""item"" s""#,
      name: "item",
      viewType: viewType,
      capture: table.capture
    )
    try await database.run(
      """
      SET timezone = 'Asia/Tokyo';
      INSERT INTO "odd ""item"" s" SELECT i, '2024-01-01'::timestamptz + i * interval '1 hour', '\\xdeadbeef',
        12345678901234567890.5, ARRAY['a', 'ü"'], '{"b": 1, "a": [2]}', '3 days 04:05:06', 1.0 / 3
      FROM generate_series(1, 100) AS i
      """
    )
    let stream = try database.stream("item")
    let captured = try await stream.readAll()
    let view = try await snapshot(stream)
    let copied = try await view.readAll()
    #expect(Set(copied.map(\.summary)) == Set(captured.map(\.summary)))
    #expect(copied.count == 100)
    #expect(Set(copied.map(\.sequenceNumber)).count == 100)
    // Each in the shard whose child has what comes after.
    try await database.run(#"UPDATE "odd ""item"" s" SET nothing = 'x'"#)
    try await stream.sequenceCommitted()
    for first in try await view.shards() where first.parentIDs.isEmpty {
      let page = try await view.reader(of: first.id, after: .trimHorizon).nextPage(maximumRecords: 1000)
      let child = try #require(page.end?.children.first)
      #expect(child.parentIDs == [first.id])
      let next = try await view.reader(of: child.id, after: .trimHorizon).nextPage(maximumRecords: 1000)
      #expect(Set(next.records.map(\.partitionKey)) == Set(page.records.map(\.partitionKey)))
    }
  }

  @Test(
    "An application without a snapshot sees another's as an ordinary rotation",
    arguments: StreamCapture.allCases
  )
  func others(capture: StreamCapture) async throws {
    let database = try await items(10, capture: capture)
    try await database.run("UPDATE item SET n = 1")
    let stream = try database.stream("item")
    let view = try await snapshot(stream)
    let second = try await snapshot(stream, for: "b")
    try await database.run("UPDATE item SET n = 2 WHERE id = 1")
    #expect(try await stream.readAll().count == 11)
    #expect(try await stream.readAll().count { $0.change?.eventName == .insert } == 0)
    #expect(try await view.readAll().count == 11)
    #expect(try await second.readAll().count == 11)
    #expect(try await stream.shards().count == 6)
    #expect(try await view.shards().count == 6)
    #expect(try await second.shards().count == 4)
    #expect(try await database.admin.describe("item").snapshots.map(\.application) == ["a", "b"])
    #expect(try await database.admin.describe("item").snapshots.map(\.recordCount) == [10, 10])
  }

  @Test(
    "A table without rows gives a snapshot without records, and then its changes",
    arguments: StreamCapture.allCases
  )
  func empty(capture: StreamCapture) async throws {
    let database = try await items(0, viewType: .keysOnly, capture: capture)
    let view = try await snapshot(try database.stream("item"))
    #expect(try await view.readAll().isEmpty)
    try await database.run("INSERT INTO item VALUES (1)")
    #expect(try await view.readAll().map(\.summary) == [#"INSERT {"id":1}"#])
  }

  @Test(
    "What was not committed when the snapshot was taken comes after it, and rows of a truncated table are in it"
  )
  func moment() async throws {
    let database = try await items(3, viewType: .newImage)
    let stream = try database.stream("item")
    let view = try await database.pool.transaction { open in
      try await open.execute("UPDATE item SET n = 7 WHERE id = 1")
      return try await snapshot(stream)
    }
    try await database.run("TRUNCATE item")
    let records = try await view.readAll()
    let ofOne = records.filter { $0.partitionKey == #"{"id":1}"# }.compactMap { $0.change?.eventName }
    #expect(ofOne == [.insert, .modify, .remove])
    #expect(records.count { $0.change?.eventName == .insert } == 3)
    #expect(records.count { $0.change?.eventName == .remove } == 3)
  }

  @Test(
    "Transactions that fail one after the other while a snapshot is taken are not in its way",
    arguments: 0..<3
  )
  func failing(attempt: Int) async throws {
    let database = try await items(5, capture: .logical)
    let pool = try StreamDatabase.makePool(database.url, connections: 3)
    let stream = try database.stream("item")
    try await withThrowingTaskGroup(of: Void.self) { writers in
      for id in 10..<13 {
        writers.addTask {
          while !Task.isCancelled {
            _ = try? await pool.transaction { transaction in
              try await transaction.execute("INSERT INTO item VALUES (\(id))")
              _ = try await transaction.query("SELECT 1 / 0 FROM pg_sleep(0.03)")
            }
          }
        }
      }
      let view = try await snapshot(stream)
      writers.cancelAll()
      #expect(try await view.readAll().count == 5)
    }
    await pool.close()
  }

  @Test(
    "An application that has leases but no snapshot goes on without one, and one that has keeps it",
    arguments: StreamCapture.allCases
  )
  func existing(capture: StreamCapture) async throws {
    let database = try await items(5, capture: capture)
    let stream = try database.stream("item")
    let plain = try await stream.startingWithSnapshot(for: "a", isNew: false)
    #expect(try await plain.shards().count == 2)
    _ = try await snapshot(stream)
    let again = try #require(
      try await stream.startingWithSnapshot(for: "a", isNew: false) as? PostgresStream
    )
    #expect(try await again.readAll().count == 5)
    #expect(try await snapshot(stream).readAll().count == 5)
  }

  @Test("A worker that waits for another's snapshot ends at once when it is asked to")
  func shutdown() async throws {
    let database = try await items(1)
    let log = DeliveryLog()
    try await database.pool.withConnection { other in
      let id = try await database.stream("item").identified().id
      try await other.execute("SELECT tidemark.begin_making(\(id), 'test')")
      let own = try await other.query("SELECT pg_backend_pid()")[0].decode(Int32.self)
      try await running(try log.worker(of: database, from: .snapshot)) {
        try await eventually("the worker asks whether it may make one") {
          try await database.number(
            "SELECT count(*) FROM pg_stat_activity WHERE pid NOT IN (\(own), pg_backend_pid()) "
              + "AND datname = current_database() AND query LIKE '%tidemark.begin_making%'"
          ) == 1
        }
      }
      await other.close()
    }
    #expect(log.count == 0)
    #expect(try await database.number("SELECT count(*) FROM tidemark.snapshot") == 0)
  }

  @Test("Rows are copied with the settings with which changes are captured")
  func settings() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      "CREATE TABLE item (a timestamptz, b int4range, c interval, d bytea, e float8, f money, id int PRIMARY KEY)"
    )
    try await database.admin.enable(table: "item")
    let different = try await database.text(
      """
      SELECT string_agg(n.setting, ', ') FROM unnest(tidemark.capture_settings('item'::regclass)) AS n (setting)
      WHERE lower(n.setting) NOT IN (SELECT lower(replace(c.setting, '"', '')) FROM pg_proc p
        CROSS JOIN unnest(p.proconfig) AS c (setting) WHERE p.oid = 'tidemark.copy_1'::regproc)
      """
    )
    #expect(different == nil)
  }

  @Test("A stream that can have no snapshot is refused with the reason and what to do")
  func refused() async throws {
    let database = try await items(1)
    try await database.admin.create("events")
    let events = try await #require(throws: TidemarkError.self) {
      try await snapshot(database.stream("events"))
    }
    #expect(events.code == .unsupported)
    #expect(events.advice?.contains("TRIM_HORIZON") == true)
    try await database.admin.disable("item")
    let disabled = try await #require(throws: TidemarkError.self) {
      try await snapshot(database.stream("item"))
    }
    #expect(disabled.code == .streamDisabled)
    #expect(disabled.advice?.contains("stream enable") == true)
  }

  @Test(
    "Retention takes a snapshot like any records, and nobody sees what was there before",
    arguments: StreamCapture.allCases
  )
  func retention(capture: StreamCapture) async throws {
    let database = try await items(5, capture: capture)
    try await database.run("UPDATE item SET n = 1")
    let stream = try database.stream("item")
    let view = try await snapshot(stream)
    try await database.run("UPDATE item SET n = 2")
    try await stream.sequenceCommitted()
    // As if what is closed had been so for an hour.
    try await database.run(
      """
      UPDATE tidemark.stream SET retention = '10 minutes';
      UPDATE tidemark.log_partition SET closed_at = closed_at - interval '1 hour';
      UPDATE tidemark.shard SET closed_at = closed_at - interval '1 hour'
      """
    )
    try await database.admin.maintain()
    #expect(try await database.admin.describe("item").snapshots.isEmpty)
    #expect(try await view.shards().map(\.id) == stream.shards().map(\.id))
    #expect(try await view.shards().count == 2)
    #expect(try await view.readAll().count == 5)
  }

  @Test(
    "A dropped snapshot goes with the application's leases, but not under living workers",
    arguments: StreamCapture.allCases
  )
  func drop(capture: StreamCapture) async throws {
    let database = try await items(5, capture: capture)
    let log = DeliveryLog()
    let store = try database.leases()
    let scope = LeaseScope(application: "test")
    try await running(try log.worker(of: database, from: .snapshot)) {
      try await eventually("the rows are delivered") { log.count == 5 }
      let error = try await #require(throws: TidemarkError.self) {
        try await store.deleteLeases(of: "item", in: scope)
      }
      #expect(error.code == .invalidConfiguration)
      #expect(error.advice?.contains("workers") == true)
    }
    try await database.run("UPDATE item SET n = 9")
    try await store.deleteLeases(of: "item", in: scope)
    try await database.admin.dropSnapshot(of: "item", for: "test")
    #expect(try await database.number("SELECT count(*) FROM tidemark_leases.lease") == 0)
    await #expect(throws: TidemarkError.self) {
      try await database.admin.dropSnapshot(of: "item", for: "test")
    }
    try await running(try log.worker(of: database, from: .snapshot)) {
      try await eventually("a new snapshot is delivered") { log.count == 10 }
    }
    #expect(log.all.suffix(5).allSatisfy { $0.value == 9 && $0.change.eventName == .insert })
  }
}
