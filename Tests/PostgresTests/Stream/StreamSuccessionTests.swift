import LibPQ
import ServiceLifecycle
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("Streams that follow each other under a name", .sharesMachine)
struct StreamSuccessionTests {
  @Test("The first shards of a stream name the last ones of the stream before whose hashes they take over")
  func parents() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    let first = try await database.admin.enable(table: "item", shardCount: 2)
    let split = try await database.admin.split(first.shards[0].id, of: "item")
    try await database.run("INSERT INTO item SELECT i FROM generate_series(1, 20) AS i")
    try await database.admin.disable("item")
    let second = try await database.admin.enable(table: "item", shardCount: 4)
    let third = first.shards[1].id
    #expect(second.shards.map(\.parentIDs) == [[split[0]], [split[1]], [third], [third]])

    let stream = try database.stream("item")
    let listed = try await stream.shards()
    #expect(Set(listed.map(\.id)).count == 8)
    #expect(Set(listed.map { $0.id.suffix(8) }).count == 8, "the number within the name is unique by itself")
    let ends = listed.filter { [split[0], split[1], third].contains($0.id) }.compactMap(
      \.endingSequenceNumber
    )
    #expect(second.shards.allSatisfy { shard in ends.allSatisfy { shard.startingSequenceNumber ?? 0 > $0 } })
    let end = try await stream.reader(of: third, after: .shardEnd).nextPage(maximumRecords: 1).end
    #expect(end?.children.map(\.id) == second.shards.suffix(2).map(\.id))
  }

  @Test("With another primary key every first shard waits for all the last ones")
  func otherKey() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, code int)")
    let first = try await database.admin.enable(table: "item", shardCount: 3)
    try await database.admin.disable("item")
    try await database.run("ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (code)")
    let second = try await database.admin.enable(table: "item", shardCount: 2)
    #expect(second.shards.allSatisfy { $0.parentIDs == first.shards.map(\.id) })
  }

  @Test("A stream that is gone is missed by nobody, and one in between not before those that are older")
  func retention() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    let first = try await database.admin.enable(table: "item", retention: .seconds(3600), shardCount: 1)
    try await database.run("INSERT INTO item VALUES (1)")
    try await database.admin.disable("item")
    try await database.admin.enable(table: "item", retention: .seconds(1), shardCount: 1)
    try await database.run("INSERT INTO item VALUES (2)")
    try await database.admin.disable("item")
    let third = try await database.admin.enable(table: "item", shardCount: 1)
    try await database.run("INSERT INTO item VALUES (3)")
    let stream = try database.stream("item")
    try await eventually("the record of the second stream expires") {
      try await database.admin.maintain()
      return try await stream.readAll().count == 2
    }
    #expect(try await stream.shards().count == 3)
    try await database.run("UPDATE tidemark.stream SET retention = '1 second' WHERE label = '\(first.label)'")
    try await eventually("both old streams go") {
      try await database.admin.maintain()
      return try await database.admin.list() == [third]
    }
    #expect(try await stream.shards() == third.shards)
    #expect(try await stream.readAll().map(\.partitionKey) == [#"{"id":3}"#])
  }

  @Test("A reader, pumped or not, goes on with the next stream by itself", arguments: [true, false])
  func readers(isPumped: Bool) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", shardCount: 1)
    let stream = try database.stream("item")
    @Sendable func readOn() async throws {
      let first = try #require(try await stream.shards().first)
      let reader = try await stream.reader(of: first.id, after: .trimHorizon)
      async let page = reader.nextPage(maximumRecords: 10)
      try await database.admin.disable("item")
      #expect(try await page.end != nil)
      try await database.run("INSERT INTO item VALUES (1)")
      let next = try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
      try await database.run("INSERT INTO item VALUES (2)")
      let second = try await stream.reader(of: next.shards[0].id, after: .trimHorizon)
      #expect(try await second.nextPage(maximumRecords: 10).records.map(\.partitionKey) == [#"{"id":2}"#])
      guard isPumped else { return }
      try await eventually("the next stream is pumped") { try await stream.identified().heads.isPumped }
    }
    if isPumped { try await pumping(stream, body: readOn) } else { try await readOn() }
  }

  @Test(
    "Workers drain a stream that was disabled under load, and go on with those that follow it"
  )
  func workers() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      "CREATE TABLE item (id int PRIMARY KEY, code int NOT NULL, n int NOT NULL DEFAULT 0)"
    )
    try await database.run("INSERT INTO item SELECT i, 1000 + i FROM generate_series(1, 50) AS i")
    try await database.admin.enable(table: "item", shardCount: 2)
    let log = DeliveryLog()
    let first = try log.worker(of: database)
    let second = try log.worker(of: database)
    let groups = [first, second].map { ServiceGroup(services: [$0], logger: StreamDatabase.logger) }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await groups[0].run() }
      try await writing(to: database) {
        try await eventually("something is delivered") { log.count > 100 }
        try await database.admin.disable("item")
      }
      // Nobody captures these.
      try await database.run("UPDATE item SET n = -1; UPDATE item SET n = 1000000 + n")
      try await database.admin.enable(table: "item", viewType: .newImage, shardCount: 3)
      tasks.addTask { try await groups[1].run() }
      try await writing(to: database) {
        let before = log.count
        try await eventually("the second stream is read") { log.count > before + 100 }
        try await database.admin.disable("item")
      }
      try await database.run("ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (code)")
      try await database.admin.enable(table: "item", shardCount: 1)
      try await database.run("UPDATE item SET n = 3000000")
      try await eventually("everything is delivered") {
        log.all.count { $0.value == 3_000_000 } >= 50
      }
      for group in groups { await group.triggerGracefulShutdown() }
      try await tasks.waitForAll()
    }
    for (item, values) in log.valuesByItem {
      #expect(values == values.sorted(), "item \(item)")
      #expect(!values.contains(-1))
      #expect(values.last == 3_000_000)
    }
    #expect(log.valuesByItem.count == 50)
    let scopes = try await database.pool.query("SELECT DISTINCT stream FROM tidemark_leases.lease")
    #expect(try scopes.map { try $0.decode(String.self) } == ["item"])
  }

  /// Counts up all items while `body` runs; what is written after a disabling is not captured and does no harm.
  private func writing(to database: StreamDatabase, _ body: () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        while !Task.isCancelled {
          try await database.pool.execute("UPDATE item SET n = n + 1 WHERE id % 5 = (random() * 4)::int")
        }
      }
      try await body()
      group.cancelAll()
      while let result = await group.nextResult() {
        if case .failure(let error) = result, !"\(error)".contains("cancelled") { throw error }
      }
    }
  }
}
