import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("A stream under load", .sharesMachine)
struct StreamUnderLoadTests {
  @Test(
    "It equals the committed changes: each once, those of an item in order, while shards split and merge",
    arguments: StreamCapture.allCases
  )
  func everythingAtOnce(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, version bigint, nonce text)")
    try await database.admin.enable(table: "item", capture: capture, shardCount: 2)
    let streams = [try database.stream("item", connections: 20), try database.stream("item", connections: 4)]
    // The writers' deadlocks are wanted; waiting a second for each to be found is not.
    let writers = try StreamDatabase.makePool(
      database.url,
      connections: 32,
      settings: ["deadlock_timeout": "20ms"]
    )
    let records = try await pumping(streams[0], streams[1]) {
      // Reads on until the stream is disabled and all shards have ended.
      async let records = streams[0].readAll(untilEnd: true, maximumRecords: 100)
      let expected = SharedCounter()
      let writing = SharedCounter()
      writing.add(32)
      async let changes = Self.reshape("item", in: database) { writing.value > 0 }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<32 {
          group.addTask {
            defer { writing.add(-1) }
            for _ in 0..<400 { expected.add(try await Self.writeTransaction(on: writers)) }
          }
        }
        try await group.waitForAll()
      }
      #expect(try await changes > 0)
      try await database.admin.disable("item")
      let all = try await records
      #expect(all.count == expected.value)
      return all
    }
    #expect(Set(records.map(\.sequenceNumber)).count == records.count)
    let replayed = try Self.replay(records)
    let rows = try await database.pool.query("SELECT row_to_json(item)::text FROM item")
    #expect(Set(replayed.values) == Set(try rows.map { row in try row.decode(String.self) }))
    #expect(replayed.count == rows.count)
  }

  /// Applies each record to what the ones before it made, and checks that its old image is just that.
  private static func replay(_ records: [Record]) throws -> [String: String] {
    struct Row: Decodable {
      var version: Int
    }
    var items: [String: String] = [:]
    for record in records {
      let change = try #require(record.change)
      #expect(change.oldImage?.description == items[record.partitionKey])
      switch change.eventName {
      case .insert: #expect(change.oldImage == nil && change.newImage != nil)
      case .remove: #expect(change.oldImage != nil && change.newImage == nil)
      case .modify:
        let (old, new) = (try #require(change.oldImage), try #require(change.newImage))
        #expect(try new.decode(as: Row.self).version == old.decode(as: Row.self).version + 1)
      }
      items[record.partitionKey] = change.newImage?.description
    }
    return items
  }

  /// One transaction of random statements on random items; some are undone, in part or as a whole.
  ///
  /// - Returns: how many records its committed changes make.
  private static func writeTransaction(on pool: PQPool) async throws -> Int {
    struct Undone: Error {}
    do {
      return try await pool.transaction { transaction in
        var records = 0
        for _ in 0..<Int.random(in: 1...6) {
          let isUndone = Int.random(in: 0..<8) == 0
          if isUndone { try await transaction.execute("SAVEPOINT before") }
          let count = try await write(on: transaction)
          if isUndone {
            try await transaction.execute("ROLLBACK TO before")
          } else {
            records += count
          }
        }
        if Int.random(in: 0..<5) == 0 { throw Undone() }
        return records
      }
    } catch is Undone {
      return 0
    } catch let error as PQError where ["40P01", "23505"].contains(error.sqlState) {
      // A deadlock, or a key that somebody else took: the server has undone it.
      return 0
    }
  }

  private static func write(on transaction: PQTransaction) async throws -> Int {
    let id = Int32.random(in: 0..<40)
    let nonce = String(UInt64.random(in: 0 ... .max))
    switch Int.random(in: 0..<10) {
    case 0, 1:
      return try await transaction.execute(
        "INSERT INTO item VALUES (\(id), 1, \(nonce)) ON CONFLICT DO NOTHING"
      )
    case 2, 3, 4:
      return try await transaction.execute(
        "UPDATE item SET version = version + 1, nonce = \(nonce) WHERE id = \(id)"
      )
    case 5, 6:
      return try await transaction.execute(
        """
        INSERT INTO item VALUES (\(id), 1, \(nonce))
        ON CONFLICT (id) DO UPDATE SET version = item.version + 1, nonce = \(nonce)
        """
      )
    case 7:
      return try await transaction.execute("DELETE FROM item WHERE id = \(id)")
    case 8:
      let other = Int32.random(in: 0..<40)
      if other == id { return 0 }
      // A record for the old key and one for the new.
      return try await 2 * transaction.execute("UPDATE item SET id = \(other) WHERE id = \(id)")
    default:
      return try await transaction.execute(
        "UPDATE item SET version = version + 1, nonce = \(nonce) WHERE id / 4 = \(id / 4)"
      )
    }
  }

  /// Splits and merges open shards for as long as the condition holds.
  ///
  /// - Returns: how often it did.
  private static func reshape(
    _ name: String,
    in database: StreamDatabase,
    while isNeeded: @Sendable () -> Bool
  ) async throws -> Int {
    var count = 0
    while isNeeded() {
      let open = try await database.admin.describe(name).shards.filter(\.isOpen).sorted {
        ($0.hashRange?.start ?? 0) < ($1.hashRange?.start ?? 0)
      }
      if open.count < 3 || open.count < 6 && Bool.random() {
        try await database.admin.split(try #require(open.randomElement()).id, of: name)
      } else {
        let index = Int.random(in: 0..<open.count - 1)
        try await database.admin.merge(open[index].id, open[index + 1].id, of: name)
      }
      count += 1
      try await Task.sleep(for: .milliseconds(30))
    }
    return count
  }
}
