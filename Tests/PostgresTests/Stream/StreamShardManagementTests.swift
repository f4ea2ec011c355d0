import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("Shards that manage themselves", .sharesMachine)
struct StreamShardManagementTests {
  /// A stream of put records, counted over the shortest time there is.
  private func makeStream(
    shardCount: Int,
    _ change: (inout PostgresStreamSettings.Sharding) -> Void = { _ in }
  ) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    var sharding = PostgresStreamSettings.Sharding()
    sharding.sustainedTime = .seconds(1)
    change(&sharding)
    try await database.admin.create("events", shardCount: shardCount, sharding: sharding)
    return database
  }

  /// Puts records, and lets the shards be managed as if they had come in within a time.
  private func pass(
    _ seconds: Double,
    _ database: StreamDatabase,
    putting keys: [String] = []
  ) async throws {
    for start in stride(from: 0, to: keys.count, by: 500) {
      try await database.pool.execute(
        PQStatement(
          "SELECT tidemark.put('events', k, '') FROM unnest($1) AS k",
          Array(keys[start..<min(start + 500, keys.count)])
        )
      )
    }
    try await database.stream("events").sequenceCommitted()
    try await database.run(
      """
      UPDATE tidemark.stream SET measured_at = clock_timestamp() - interval '\(seconds) s';
      UPDATE tidemark.shard SET created_at = created_at - interval '\(seconds) s',
        hot_since = hot_since - interval '\(seconds) s', cold_since = cold_since - interval '\(seconds) s'
      """
    )
    try await database.admin.maintain()
  }

  private func shards(_ database: StreamDatabase) async throws -> [Shard] {
    try await database.admin.describe("events").shards
  }

  private func keys(_ count: Int) -> [String] { (0..<count).map { "key \($0)" } }

  @Test("A shard that is old enough goes on in one child of its range, an idle one too, and not all at once")
  func rotation() async throws {
    let database = try await makeStream(shardCount: 64)
    let first = try await shards(database)
    // Four hours less an eighth is half past three.
    try await pass(12500, database)
    #expect(try await shards(database) == first)
    try await pass(1000, database)
    let some = try await shards(database).count
    #expect(some > 64 && some < 128)
    try await pass(1000, database)
    let all = try await shards(database)
    #expect(all.count == 128)
    for parent in all.prefix(64) {
      let children = all.filter { $0.parentIDs == [parent.id] }
      #expect(children.map(\.hashRange) == [parent.hashRange])
      #expect(!parent.isOpen && children.allSatisfy(\.isOpen))
      #expect(children.allSatisfy { ($0.startingSequenceNumber ?? 0) > (parent.endingSequenceNumber ?? 0) })
    }
  }

  @Test("An idle stream that rotates loses its records by retention all the same")
  func retentionOfIdle() async throws {
    let database = try await makeStream(shardCount: 1) { $0.rotateAfter = .seconds(1) }
    try await database.admin.alter("events") { $0.retention = .seconds(2) }
    try await database.admin.put([1], partitionKey: "k", to: "events")
    #expect(try await database.stream("events").readAll().count == 1)
    try await eventually("the record and the shard that had it are gone") {
      try await database.admin.maintain()
      let records = try await database.number("SELECT count(*) FROM tidemark.log_1")
      let first = try await database.number("SELECT count(*) FROM tidemark.shard WHERE shard_ordinal = 0")
      return records + first == 0
    }
    #expect(try await shards(database).count { $0.isOpen } == 1)
  }

  @Test("A shard that stays hot is split where its load is halved, and not before the time")
  func split() async throws {
    let database = try await makeStream(shardCount: 1) { $0.splitAbove = 400 }
    try await pass(0.5, database, putting: keys(600))
    #expect(try await database.admin.describe("events").shardStatus.values.allSatisfy { $0.writeRate > 400 })
    try await pass(0.5, database)
    try await pass(0.5, database, putting: keys(600))
    // It has paused in between.
    #expect(try await shards(database).count == 1)
    try await pass(0.5, database, putting: keys(600))
    let split = try await shards(database)
    #expect(split.map(\.parentIDs) == [[], [split[0].id], [split[0].id]])
    try await pass(1, database, putting: keys(1000))
    let rates = try await database.admin.describe("events").shardStatus
    let halves = split.dropFirst().compactMap { rates[$0.id]?.writeRate }
    #expect(halves.count == 2)
    #expect(halves.min() ?? 0 > 0.7 * (halves.max() ?? .infinity))
  }

  @Test("A shard whose load is one item's is not split, and one with a second item is split between the two")
  func oneItem() async throws {
    let database = try await makeStream(shardCount: 1) { $0.splitAbove = 400 }
    for _ in 1...3 { try await pass(1, database, putting: Array(repeating: "one", count: 900) + keys(20)) }
    #expect(try await shards(database).count == 1)
    for _ in 1...3 {
      try await pass(1, database, putting: (0..<1200).map { $0.isMultiple(of: 3) ? "two" : "one" })
    }
    let children = try await shards(database).dropFirst()
    #expect(children.count == 2)
    let rates = try await database.pool.query(
      "SELECT count(DISTINCT partition_key) FROM tidemark.log_1 WHERE shard_ordinal > 0 GROUP BY shard_ordinal"
    ).map { try $0.decode(Int64.self) }
    #expect(rates == [1, 1])
  }

  @Test("Splitting ends at the most shards, and merging of the cold at the fewest, neighbours only")
  func limits() async throws {
    let database = try await makeStream(shardCount: 2) {
      $0.splitAbove = 100
      $0.maximumShards = 5
    }
    for _ in 1...8 { try await pass(1, database, putting: keys(1500)) }
    #expect(try await shards(database).count { $0.isOpen } == 5)
    // The first pause begins the cold time.
    try await pass(1, database)
    try await pass(8, database)
    #expect(try await shards(database).count { $0.isOpen } == 5)
    try await pass(2, database)
    #expect(try await shards(database).count { $0.isOpen } < 5)
    for _ in 1...3 { try await pass(12, database) }
    let all = try await shards(database)
    let open = all.filter(\.isOpen).sorted { ($0.hashRange?.start ?? 0) < ($1.hashRange?.start ?? 0) }
    #expect(open.count == 2)
    #expect(open.first?.hashRange?.start == 0 && open.last?.hashRange?.end == .max)
    #expect((open[0].hashRange?.end ?? 0) + 1 == open[1].hashRange?.start)
  }

  @Test("A load that neither grows nor falls changes the shards once and then no more")
  func hysteresis() async throws {
    let database = try await makeStream(shardCount: 1) {
      $0.splitAbove = 400
      $0.mergeBelow = 100
      $0.minimumShards = 1
    }
    for _ in 1...3 { try await pass(1, database, putting: keys(500)) }
    let settled = try await shards(database)
    #expect(settled.count == 3)
    for _ in 1...6 { try await pass(4, database, putting: keys(2000)) }
    #expect(try await shards(database).map(\.id) == settled.map(\.id))
  }

  @Test("Nothing happens that is set to never")
  func never() async throws {
    let database = try await makeStream(shardCount: 2) {
      $0.rotateAfter = nil
      $0.splitAbove = nil
      $0.mergeBelow = nil
      $0.minimumShards = 1
    }
    for _ in 1...3 { try await pass(100_000, database, putting: keys(500)) }
    #expect(try await shards(database).count == 2)
  }

  @Test("All that is wrong with settings is said at once, and nothing of it done")
  func problems() async throws {
    let database = try await makeStream(shardCount: 2)
    let before = try await database.admin.describe("events")
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.alter("events") { settings in
        settings.retention = .seconds(366 * 24 * 60 * 60)
        settings.expiryColumn = "c"
        settings.sharding.rotateAfter = .milliseconds(1)
        settings.sharding.splitAbove = 10
        settings.sharding.sustainedTime = .seconds(7200)
        settings.sharding.minimumShards = 9
        settings.sharding.maximumShards = 8
      }
    }
    #expect(error.code == .invalidConfiguration)
    for name in ["retention", "rotate-after", "merge-below", "sustained", "minimum-shards", "expire"] {
      #expect(error.message.contains(name))
    }
    #expect(try await database.admin.describe("events") == before)
    let refused = try await #require(throws: TidemarkError.self) {
      try await database.admin.create(
        "others",
        sharding: { () in
          var sharding = PostgresStreamSettings.Sharding()
          sharding.maximumShards = 5000
          return sharding
        }()
      )
    }
    #expect(refused.message.contains("maximum-shards"))
    #expect(try await database.admin.list().count == 1)
  }

  @Test("A retention that is changed counts from then on, up to a year")
  func retention() async throws {
    let database = try await makeStream(shardCount: 1)
    try await database.admin.put([1], partitionKey: "k", to: "events")
    try await database.stream("events").sequenceCommitted()
    let long = try await database.admin.alter("events") { $0.retention = .seconds(365 * 24 * 60 * 60) }
    #expect(long.retention == .seconds(365 * 24 * 60 * 60))
    try await database.admin.alter("events") { $0.retention = .seconds(1) }
    try await eventually("the record is gone") {
      try await database.admin.maintain()
      return try await database.number("SELECT count(*) FROM tidemark.log_1") == 0
    }
  }

  @Test(
    "Six generations of a thousand shards are listed and described within seconds"
  )
  func manyGenerations() async throws {
    let database = try await makeStream(shardCount: 1000) { $0.maximumShards = 1000 }
    for _ in 1...5 { try await pass(20_000, database) }
    let stream = try database.stream("events")
    _ = try await stream.streamName()
    var listed = 0
    let listing = try await ContinuousClock().measure { listed = try await stream.shards().count }
    var described = 0
    let describing = try await ContinuousClock().measure {
      described = try await database.admin.describe("events").shardStatus.count
    }
    let parent = try await stream.shards()[4321]
    let reader = try await stream.reader(of: parent.id, after: .trimHorizon)
    var page: ShardPage?
    let ending = try await ContinuousClock().measure { page = try await reader.nextPage(maximumRecords: 1) }
    #expect(listed == 6000 && described == 6000)
    #expect(page?.end?.children.count == 1)
    #expect(listing < .seconds(10) && describing < .seconds(10) && ending < .seconds(10))
  }
}
