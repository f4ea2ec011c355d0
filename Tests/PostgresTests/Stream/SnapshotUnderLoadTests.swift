import LibPQ
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// Runs a worker while `body` does, and then shuts it down.
func running(_ workers: Worker..., body: () async throws -> Void) async throws {
  let groups = workers.map { ServiceGroup(services: [$0], logger: StreamDatabase.logger) }
  try await withThrowingTaskGroup(of: Void.self) { tasks in
    for group in groups { tasks.addTask { try await group.run() } }
    do {
      try await body()
    } catch {
      tasks.cancelAll()
      throw error
    }
    for group in groups { await group.triggerGracefulShutdown() }
    try await tasks.waitForAll()
  }
}

@Suite("Snapshots under load", .needsMachineAlone)
struct SnapshotUnderLoadTests {
  /// A table whose every write takes a higher `n`.
  private func items(_ count: Int, _ capture: StreamCapture) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make(connections: 10)
    try await database.run(
      """
      CREATE SEQUENCE tick;
      CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT nextval('tick'), filling text NOT NULL);
      INSERT INTO item (id, filling) SELECT i, repeat('x', 100) FROM generate_series(1, \(count)) AS i
      """
    )
    try await database.admin.enable(table: "item", capture: capture)
    return database
  }

  /// Inserts, updates, deletes and changes keys until `body` is over. Each writer has items of its own.
  private func writing(
    to database: StreamDatabase,
    writers: Int = 4,
    slowest: SlowestWrite = SlowestWrite(),
    _ body: () async throws -> Void
  ) async throws {
    let isOver = SharedCounter()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<writers {
        group.addTask {
          var round = 0
          while isOver.value == 0 {
            round += 1
            let id = Int32((round * 7919 % 400) * writers + writer + 1)
            let other = id + Int32(writers * 400)
            let start = ContinuousClock.now
            switch round % 5 {
            case 0: try await database.pool.execute("DELETE FROM item WHERE id = \(id)")
            case 1:
              try await database.pool.execute(
                "INSERT INTO item (id, filling) VALUES (\(id), 'new') ON CONFLICT (id) DO UPDATE SET n = nextval('tick')"
              )
            case 2:
              try await database.pool.execute(
                "UPDATE item SET id = \(other), n = nextval('tick') WHERE id = \(id) AND NOT EXISTS (SELECT FROM item WHERE id = \(other))"
              )
            default:
              try await database.pool.execute(
                "UPDATE item SET n = nextval('tick') WHERE id IN (\(id), \(other))"
              )
            }
            slowest.note(start.duration(to: .now))
          }
        }
      }
      defer { isOver.add() }
      try await body()
      isOver.add()
      try await group.waitForAll()
    }
  }

  final class SlowestWrite: Sendable {
    private let state = Mutex((slowest: Duration.zero, count: 0))
    var slowest: Duration { state.withLock { $0.slowest } }
    var count: Int { state.withLock { $0.count } }
    func note(_ duration: Duration) { state.withLock { $0 = (max($0.slowest, duration), $0.count + 1) } }
  }

  /// Waits until the records make up the table.
  private func expectTable(_ database: StreamDatabase, in log: DeliveryLog) async throws {
    let rows = try await database.pool.query("SELECT id, n FROM item")
    let expected = try Dictionary(
      uniqueKeysWithValues: rows.map { try $0.decode((Int32, Int32).self) }.map { (Int($0), Int($1)) }
    )
    try await eventually(within: .seconds(600), "the records make up the table") { log.table == expected }
  }

  /// Leaves out repeats, which may go back.
  private func expectOrder(_ log: DeliveryLog, exactlyOnce: Bool) {
    for (item, values) in log.valuesByItem {
      var seen: Set<Int> = []
      let first = values.filter { seen.insert($0).inserted }
      #expect(first == first.sorted(), "item \(item)")
      if exactlyOnce { #expect(values == first, "item \(item)") }
    }
  }

  @Test(
    "Two workers that start at once under load make one snapshot, and their records make up the table, in order",
    arguments: StreamCapture.allCases
  )
  func consistency(capture: StreamCapture) async throws {
    let database = try await items(4000, capture)
    let log = DeliveryLog()
    let workers = try (0..<2).map { _ in try log.worker(of: database, from: .snapshot) }
    try await writing(to: database) {
      let slowest = SlowestWrite()
      try await writing(to: database, writers: 1, slowest: slowest) {
        try await eventually("writers write") { slowest.count > 50 }
      }
      try await running(workers[0], workers[1]) {
        try await eventually("the snapshot is delivered") { log.count > 6000 }
      }
    }
    try await running(try log.worker(of: database, from: .snapshot)) {
      try await expectTable(database, in: log)
    }
    expectOrder(log, exactlyOnce: true)
    let snapshots = try await database.admin.describe("item").snapshots
    #expect(snapshots.count == 1)
    let id = try await database.stream("item").identified().id
    let copied = try await database.number("SELECT count(*) FROM tidemark.log_\(id) WHERE cause = 'S'")
    #expect(snapshots.first?.recordCount == copied)
  }

  @Test(
    "A snapshot is made again if a session of its maker is killed, and nothing is left of the first",
    arguments: ["active", "idle in transaction"],
    StreamCapture.allCases
  )
  func killedMaker(state: String, capture: StreamCapture) async throws {
    let database = try await items(100_000, capture)
    let log = DeliveryLog()
    try await writing(to: database) {
      try await running(try log.worker(of: database, from: .snapshot)) {
        try await killMaker(of: database, state)
        try await eventually(within: .seconds(600), "the snapshot is delivered") { log.count > 100_000 }
      }
    }
    try await running(try log.worker(of: database, from: .snapshot)) {
      try await expectTable(database, in: log)
    }
    expectOrder(log, exactlyOnce: true)
    #expect(try await tablesBesideLog(database) == 0)
  }

  @Test(
    "What a copier that died has left is dropped by maintenance if nobody comes",
    arguments: StreamCapture.allCases
  )
  func abandoned(capture: StreamCapture) async throws {
    let database = try await items(100_000, capture)
    let stream = try database.stream("item")
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { _ = try await stream.startingWithSnapshot(for: "a", isNew: true) }
      try await killMaker(of: database, "active")
      await #expect(throws: TidemarkError.self) { try await group.next() }
    }
    #expect(try await tablesBesideLog(database) == 1)
    #expect(try await stream.seen(by: "a").shards().map(\.id) == stream.shards().map(\.id))
    try await eventually("maintenance drops it") {
      try await database.admin.maintain()
      return try await tablesBesideLog(database) == 0
    }
    #expect(try await database.admin.describe("item").snapshots.isEmpty)
    #expect(
      try await database.number("SELECT count(*) FROM tidemark.shard WHERE application IS NOT NULL") == 0
    )
  }

  /// Ends the session that copies, which is active, or the one that keeps the moment, which is idle in a transaction.
  private func killMaker(of database: StreamDatabase, _ state: String) async throws {
    try await eventually("the rows are being copied") {
      try await database.number(
        """
        WITH maker AS MATERIALIZED (
          SELECT pid, state, query FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid())
        SELECT count(*) FROM maker m
        WHERE EXISTS (SELECT FROM maker c WHERE c.query LIKE '%"copy__"(%' AND c.state = 'active')
          AND CASE WHEN '\(state)' = 'active' THEN m.query LIKE '%"copy__"(%' ELSE EXISTS (
            SELECT FROM pg_locks l WHERE l.pid = m.pid AND l.relation = 'item'::regclass
              AND l.mode = 'AccessShareLock') AND m.query LIKE '%pg_export_snapshot%' END
          AND CASE WHEN m.state = '\(state)' THEN pg_terminate_backend(m.pid) END
        """
      ) == 1
    }
  }

  /// Tables that were made for records and are no part of the log.
  private func tablesBesideLog(_ database: StreamDatabase) async throws -> Int64 {
    try await database.number(
      """
      SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'tidemark'::regnamespace AND c.relkind = 'r'
        AND c.relname LIKE 'log\\__\\_%' AND NOT c.relispartition
      """
    )
  }

  @Test(
    "Each of many snapshots that are taken under load makes up the table, with the changes since",
    arguments: StreamCapture.allCases
  )
  func many(capture: StreamCapture) async throws {
    let database = try await items(1000, capture)
    let stream = try database.stream("item", connections: 10)
    let views = try await pumping(stream) {
      var views: [PostgresStream] = []
      try await writing(to: database) {
        for number in 1...15 {
          let view = try await stream.startingWithSnapshot(for: "a\(number)", isNew: true)
          views.append(try #require(view as? PostgresStream))
        }
      }
      try await stream.sequenceCommitted()
      return views
    }
    for view in views {
      let log = DeliveryLog()
      for record in try await view.readAll() { if let change = record.change { log.add(change) } }
      try await expectTable(database, in: log)
      expectOrder(log, exactlyOnce: true)
    }
  }

  @Test(
    "A worker that dies in the middle of a snapshot's records is followed by one that skips none",
    arguments: StreamCapture.allCases
  )
  func killedWorker(capture: StreamCapture) async throws {
    let database = try await items(20_000, capture)
    let log = DeliveryLog()
    try await writing(to: database, writers: 2) {
      for minimum in [3000, 9000] {
        let worker = try log.worker(of: database, from: .snapshot)
        try await withThrowingTaskGroup(of: Void.self) { group in
          // Cancelled, it drops everything as a crash would.
          group.addTask { try await worker.run() }
          try await eventually("some are delivered") { log.count > minimum }
          group.cancelAll()
          while await group.nextResult() != nil {}
        }
      }
    }
    try await running(try log.worker(of: database, from: .snapshot)) {
      try await expectTable(database, in: log)
    }
    expectOrder(log, exactlyOnce: false)
    #expect(try await database.admin.describe("item").snapshots.count == 1)
  }

  @Test(
    "A snapshot of a big table holds up neither writers nor sequencing",
    arguments: StreamCapture.allCases
  )
  func bigTable(capture: StreamCapture) async throws {
    let database = try await items(200_000, capture)
    let stream = try database.stream("item")
    let writes = SlowestWrite()
    let (began, slowestStep, duration) = (ContinuousClock.now, SlowestWrite(), SlowestWrite())
    try await pumping(stream) {
      try await writing(to: database, slowest: writes) {
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            while !Task.isCancelled {
              let start = ContinuousClock.now
              try await stream.sequenceCommitted()
              slowestStep.note(start.duration(to: .now))
            }
          }
          _ = try await database.stream("item").startingWithSnapshot(for: "a", isNew: true)
          duration.note(began.duration(to: .now))
          group.cancelAll()
          while await group.nextResult() != nil {}
        }
      }
    }
    // Where all else takes long, so does the snapshot.
    let bound = max(.seconds(5), duration.slowest / 2)
    #expect(writes.slowest < bound)
    #expect(slowestStep.slowest < bound)
    #expect(try await database.admin.describe("item").snapshots.first?.recordCount ?? 0 > 198_000)
  }
}
