import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

/// Changes that cannot be decoded any more, because of what somebody did to the table, its types or its publication.
@Suite("A capture by decoding that meets a change it cannot decode", .sharesMachine)
struct PoisonedCaptureTests {
  struct Poison: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// After a change that is captured as a rule.
    var statements: String
  }

  private static let poisons = [
    Poison(
      testDescription: "a composite type has got an attribute since",
      statements: "INSERT INTO item VALUES (2, ROW('s', 1)); ALTER TYPE address ADD ATTRIBUTE zip text"
    ),
    Poison(
      testDescription: "a composite type has lost an attribute since",
      statements: "INSERT INTO item VALUES (2, ROW('s', 1)); ALTER TYPE address DROP ATTRIBUTE number"
    ),
    Poison(
      testDescription: "the publication is gone",
      statements: "DROP PUBLICATION tidemark_1; INSERT INTO item VALUES (2, NULL)"
    ),
    Poison(
      testDescription: "the publication was gone",
      statements:
        "DROP PUBLICATION tidemark_1; INSERT INTO item VALUES (2, NULL); CREATE PUBLICATION tidemark_1 FOR TABLE item"
    ),
    Poison(
      testDescription: "the replica identity is another one",
      statements: "ALTER TABLE item REPLICA IDENTITY DEFAULT; UPDATE item SET home = ROW('t', 2)"
    ),
    Poison(
      testDescription: "the key's column has another name",
      statements: "ALTER TABLE item RENAME id TO number; INSERT INTO item VALUES (2, NULL)"
    ),
  ]

  private func items() async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run(
      "CREATE TYPE address AS (street text, number int); CREATE TABLE item (id int PRIMARY KEY, home address)"
    )
    try await database.admin.enable(table: "item", capture: .logical, shardCount: 1)
    try await database.run("INSERT INTO item VALUES (1, ROW('s', 1))")
    try await database.stream("item").sequenceCommitted()
    return database
  }

  private func slots(_ database: StreamDatabase) async throws -> Int64 {
    try await database.number("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()")
  }

  @Test("ends the stream with the reason, and what came before stays readable", arguments: poisons)
  func endsTheStream(poison: Poison) async throws {
    let database = try await items()
    try await database.run(poison.statements)
    let stream = try database.stream("item")
    try await pumping(stream) {
      try await eventually("the stream has ended") {
        try await database.admin.describe("item").captureFailure != nil
      }
    }
    let description = try await database.admin.describe("item")
    #expect(description.status == .disabled)
    #expect(description.captureFailure?.contains("cannot capture") == true)
    #expect(try await slots(database) == 0)
    let shard = try #require(try await stream.shards().first)
    let reader = try await stream.reader(of: shard.id, after: .trimHorizon)
    #expect(try await reader.nextPage(maximumRecords: 10).records.map(\.partitionKey) == [#"{"id":1}"#])
    let error = try await #require(throws: TidemarkError.self) {
      _ = try await reader.nextPage(maximumRecords: 10)
    }
    #expect(error.code == .captureLost)
  }

  @Test("is disabled all the same, says what is missing, and can be enabled again", arguments: poisons)
  func canBeDisabled(poison: Poison) async throws {
    let database = try await items()
    try await database.run(poison.statements)
    let description = try await database.admin.disable("item")
    #expect(description.status == .disabled)
    #expect(description.captureFailure?.contains("cannot capture") == true)
    #expect(try await slots(database) == 0)
    #expect(try await database.text("SELECT relreplident::text FROM pg_class WHERE relname = 'item'") == "d")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: .logical, shardCount: 1)
    try await database.run("DELETE FROM item")
    let stream = try database.stream("item")
    try await stream.sequenceCommitted()
    let newest = try #require(try await stream.shards().last)
    let page = try await stream.reader(of: newest.id, after: .trimHorizon).nextPage(maximumRecords: 10)
    #expect(page.records.count == (poison.statements.contains("INSERT") ? 2 : 1))
    #expect(page.records.allSatisfy { $0.change?.eventName == .remove })
  }

  @Test("goes on over an altered type whose values it can decode")
  func alteredType() async throws {
    let database = try await items()
    let stream = try database.stream("item")
    try await pumping(stream) {
      for attribute in ["zip", "city", "floor"] {
        try await database.run("ALTER TYPE address ADD ATTRIBUTE \(attribute) text")
        try await database.run("UPDATE item SET home.street = '\(attribute)'")
        try await eventually("the change is captured") {
          try await stream.readAll().last?.change?.newImage?.description.contains(#""\#(attribute)":null"#)
            == true
        }
      }
    }
    #expect(try await database.admin.describe("item").captureFailure == nil)
  }

  @Test("is disabled by force at once, and says where it stood")
  func forced() async throws {
    let database = try await items()
    try await database.run("INSERT INTO item VALUES (2, NULL)")
    let description = try await database.admin.disable("item", isForced: true)
    #expect(description.status == .disabled)
    let reason = try #require(description.captureFailure)
    #expect(reason.contains("by force") && reason.contains("/") && reason.contains("of write-ahead log"))
    #expect(try await slots(database) == 0)
    #expect(try await database.stream("item").shards().allSatisfy { !$0.isOpen })
  }

  @Test("By force or not, a stream that is captured by trigger loses nothing")
  func forcedTrigger() async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
    try await database.run("INSERT INTO item VALUES (1)")
    try await database.admin.disable("item", isForced: true)
    #expect(try await database.stream("item").readAll(untilEnd: true).count == 1)
  }

  @Test("A stream whose slot somebody has dropped is disabled, and says why")
  func droppedSlot() async throws {
    let database = try await items()
    try await eventually("the slot is free") {
      try await database.admin.describe("item").slot?.isActive == false
    }
    try await database.run(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
    )
    let description = try await database.admin.disable("item")
    #expect(description.status == .disabled)
    #expect(description.captureFailure?.contains("was dropped") == true)
  }
}
