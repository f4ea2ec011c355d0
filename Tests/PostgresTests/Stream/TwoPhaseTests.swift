import LibPQ
import LocalPostgres
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// A server where transactions may be prepared: writers notify nobody, and readers look for themselves.
@Suite("Two-phase commit", .sharesMachine)
struct TwoPhaseTests {
  @Test(
    "Transactions that write to a captured table can be prepared, and are in the stream once they commit",
    arguments: StreamCapture.allCases
  )
  func prepared(capture: StreamCapture) async throws {
    var configuration = LocalPostgresConfiguration()
    configuration.settings = ["wal_level": "logical", "fsync": "off", "max_prepared_transactions": "30"]
    try await withLocalPostgres(configuration) { server in
      let database = try await StreamDatabase.make(at: server.url())
      try await database.run("CREATE TABLE item (id int PRIMARY KEY, v text)")
      try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture, shardCount: 1)
      let stream = try database.stream("item")
      try await pumping(stream) {
        // Some of them while another writer is open, some while nobody is.
        for id in 1...20 {
          try await database.run(
            """
            BEGIN;
            INSERT INTO item VALUES (\(id), 'a');
            UPDATE item SET v = 'b' WHERE id = \(id);
            PREPARE TRANSACTION 'p\(id)'
            """
          )
        }
        for id in stride(from: 1, through: 20, by: 2) { try await database.run("COMMIT PREPARED 'p\(id)'") }
        try await database.run("INSERT INTO item VALUES (100, 'c')")
        for id in stride(from: 2, through: 20, by: 2) { try await database.run("ROLLBACK PREPARED 'p\(id)'") }
        try await database.run(
          "BEGIN; DELETE FROM item WHERE id = 1; TRUNCATE item; PREPARE TRANSACTION 'last'"
        )
        try await database.run("COMMIT PREPARED 'last'")
        let shard = try #require(try await stream.shards().first)
        let reader = try await stream.reader(of: shard.id, after: .trimHorizon)
        var records: [Record] = []
        try await eventually("all of it comes by itself") {
          records += try await reader.nextPage(maximumRecords: 100).records
          return records.count >= 32
        }
        for id in stride(from: 1, through: 20, by: 2) {
          let events = records.filter { $0.partitionKey == #"{"id":\#(id)}"# }.map(\.change?.eventName)
          #expect(events == [.insert, .modify, .remove])
        }
        #expect(records.count == 32)
      }
    }
  }

  @Test("A record that is put in a transaction that is prepared is in the stream once that commits")
  func put() async throws {
    var configuration = LocalPostgresConfiguration()
    configuration.settings = ["fsync": "off", "max_prepared_transactions": "3"]
    try await withLocalPostgres(configuration) { server in
      let database = try await StreamDatabase.make(at: server.url())
      try await database.admin.create("events", shardCount: 1)
      try await database.run("BEGIN; SELECT tidemark.put('events', 'key', '1'); PREPARE TRANSACTION 'p'")
      let stream = try database.stream("events")
      #expect(try await stream.readAll().isEmpty)
      try await database.run("COMMIT PREPARED 'p'")
      #expect(try await stream.readAll().map(\.partitionKey) == ["key"])
    }
  }
}
