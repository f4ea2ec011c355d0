import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("Shards that manage themselves under load", .sharesMachine)
struct ShardManagementUnderLoadTests {
  private static let writers = 8
  private static let itemsOfEach = 25

  @Test(
    "While shards rotate, split and merge, no writer waits, nothing is lost, and items stay in order"
  )
  func everything() async throws {
    let database = try await makeDatabase()
    let stream = PostgresStream(
      "item",
      pool: try StreamDatabase.makePool(database.url, connections: 30),
      maintenanceInterval: .milliseconds(100),
      logger: StreamDatabase.logger
    )
    let records = try await pumping(stream) {
      // Ends when the stream is disabled and every shard is read to its end, children after their parents.
      async let records = stream.readAll(untilEnd: true, maximumRecords: 200)
      try await withThrowingTaskGroup(of: Void.self) { group in
        let isOver = SharedCounter()
        for writer in 0..<Self.writers {
          group.addTask { try await Self.write(as: writer, on: database.url) { isOver.value > 0 } }
        }
        group.addTask { try await Self.watch(database) { isOver.value > 0 } }
        try await Self.waitForChanges(in: database)
        isOver.add()
        try await group.waitForAll()
      }
      try await database.admin.disable("item")
      return try await records
    }
    try await check(records, in: database)
  }

  private func makeDatabase() async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, version bigint NOT NULL)")
    try await database.run("INSERT INTO item SELECT i, 0 FROM generate_series(0, 199) i")
    var sharding = PostgresStreamSettings.Sharding()
    sharding.rotateAfter = .seconds(1)
    sharding.splitAbove = 120
    sharding.mergeBelow = 30
    sharding.sustainedTime = .seconds(1)
    sharding.minimumShards = 1
    sharding.maximumShards = 8
    try await database.admin.enable(table: "item", shardCount: 2, sharding: sharding)
    return database
  }

  /// Writes to items of its own, so that it waits for no other writer; fast for two seconds, then slowly for two.
  private static func write(as writer: Int, on url: String, until isOver: () -> Bool) async throws {
    let pool = try StreamDatabase.makePool(url, connections: 1, settings: ["lock_timeout": "5s"])
    let start = ContinuousClock.now
    while !isOver() {
      let id = Int32(writer * itemsOfEach + Int.random(in: 0..<itemsOfEach))
      // A writer that waits for a lock throws, but for such moments as another writer needs to extend the table: on a
      // busy machine these are long. `watch` looks for waits that changing shards could cause, however short.
      try await pool.execute("UPDATE item SET version = version + 1 WHERE id = \(id)")
      let isFast = (ContinuousClock.now - start).components.seconds / 2 % 2 == 0
      // The load itself: it makes shards hot, and then cold.
      try await Task.sleep(for: isFast ? .milliseconds(5) : .milliseconds(400))
    }
    await pool.close()
  }

  /// Looks for a writer that waits for a lock that changing shards could hold, and lets cold times pass faster.
  private static func watch(_ database: StreamDatabase, until isOver: () -> Bool) async throws {
    while !isOver() {
      let waiting = try await database.number(
        """
        SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'UPDATE item %'
          AND wait_event_type = 'Lock' AND wait_event IN ('relation', 'tuple', 'transactionid', 'advisory')
        """
      )
      #expect(waiting == 0)
      try await database.run("UPDATE tidemark.shard SET cold_since = cold_since - interval '5 s'")
      // Between two looks; the test waits for what they see.
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  /// Until each kind of change has happened some times.
  private static func waitForChanges(in database: StreamDatabase) async throws {
    try await eventually(within: .seconds(600), "shards were rotated, split and merged") {
      let shards = try await database.admin.describe("item").shards
      let merges = shards.count { $0.parentIDs.count == 2 }
      let children = Dictionary(grouping: shards.filter { $0.parentIDs.count == 1 }) { $0.parentIDs[0] }
      let splits = children.values.count { $0.count == 2 }
      let rotations = children.values.count { $0.count == 1 }
      return merges >= 3 && splits >= 5 && rotations >= 3
    }
  }

  private func check(_ records: [Record], in database: StreamDatabase) async throws {
    struct Item: Decodable {
      var id: Int
      var version: Int
    }
    #expect(Set(records.map(\.sequenceNumber)).count == records.count)
    var versions: [Int: Int] = [:]
    for record in records {
      let item = try #require(try record.change?.newImage?.decode(as: Item.self))
      #expect(item.version == versions[item.id, default: 0] + 1)
      versions[item.id] = item.version
    }
    let rows = try await database.pool.query("SELECT id, version FROM item WHERE version > 0").map {
      try $0.decode((Int32, Int64).self)
    }
    #expect(versions == Dictionary(uniqueKeysWithValues: rows.map { (Int($0.0), Int($0.1)) }))
    #expect(!records.isEmpty)
  }
}
