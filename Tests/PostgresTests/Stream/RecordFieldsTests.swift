import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("The fields of a stream's records", .sharesMachine)
struct RecordFieldsTests {
  private func makeStream() async throws -> (StreamDatabase, PostgresStream) {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    try await database.admin.enable(table: "item", viewType: .newAndOldImages, shardCount: 1)
    return (database, try database.stream("item"))
  }

  @Test("Event ids begin with the stream's own number, differ, and are the same for every reader")
  func eventIDs() async throws {
    let (database, stream) = try await makeStream()
    try await database.run("INSERT INTO item SELECT n, 'x' FROM generate_series(1, 50) AS n")
    let ids = try await stream.readAll(maximumRecords: 7).map(\.eventID)
    #expect(ids.count == 50 && Set(ids).count == 50)
    let uid = try await database.text("SELECT lpad(to_hex(uid), 16, '0') FROM tidemark.stream")
    #expect(ids.allSatisfy { $0.count == 32 && $0.prefix(16) == uid ?? "" })
    #expect(ids.allSatisfy { $0.allSatisfy { "0123456789abcdef".contains($0) } })
    #expect(try await database.stream("item").readAll(maximumRecords: 50).map(\.eventID) == ids)
    try await database.admin.create("other", shardCount: 1)
    #expect(try await database.number("SELECT count(DISTINCT uid) FROM tidemark.stream") == 2)
  }

  @Test("A change tells what made it: a writer, the expiry job, a snapshot")
  func causes() async throws {
    let (database, stream) = try await makeStream()
    let inbox = "tidemark.inbox_\(try await stream.identified().id)"
    try await database.run(
      """
      INSERT INTO item VALUES (1, 'one');
      INSERT INTO \(inbox) (event_name, cause, partition_key, old_image)
        VALUES ('REMOVE', 'E', '{"id":1}', '{"id":1,"name":"one"}');
      INSERT INTO \(inbox) (event_name, cause, partition_key, new_image)
        VALUES ('INSERT', 'S', '{"id":2}', '{"id":2,"name":"two"}');
      """
    )
    let records = try await stream.readAll()
    let changes = records.compactMap(\.change)
    #expect(changes.map(\.eventName) == [.insert, .remove, .insert])
    #expect(
      changes.map(\.userIdentity) == [
        nil, UserIdentity(type: "Service", principalID: "tidemark.expiry"), nil,
      ]
    )
    #expect(changes.map(\.isSnapshot) == [false, false, true])
    #expect(changes.allSatisfy { $0.viewType == .newAndOldImages })
    #expect(records.map(\.sizeInBytes) == [29, 29, 29])
    #expect(records.allSatisfy { $0.data == nil })
  }

  @Test("Records stay readable after their reader and its connections are gone")
  func lifetime() async throws {
    let (database, _) = try await makeStream()
    try await database.run("INSERT INTO item SELECT n, 'name ' || n FROM generate_series(1, 100) AS n")
    var images: [Image] = []
    do {
      let stream = try database.stream("item", connections: 1)
      images = try await stream.readAll(maximumRecords: 9).compactMap { $0.change?.newImage }
      await stream.pool.close()
    }
    struct Item: Decodable { var id: Int; var name: String }
    let items = try images.map { try $0.decode(as: Item.self) }
    #expect(items.map(\.id).sorted() == Array(1...100))
    #expect(items.allSatisfy { $0.name == "name \($0.id)" })
  }

  @Test("Pages are cut by bytes whatever sizes the records have, and none is left out or repeated")
  func pageSizes() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events", shardCount: 1)
    let sizes =
      [10, 2_000_000, 10, 10, 700_000, 700_000, 700_000, 5, 1_048_576] + Array(repeating: 3000, count: 900)
    for size in sizes.prefix(9) {
      try await database.admin.put([UInt8](repeating: 7, count: size), partitionKey: "k", to: "events")
    }
    try await database.run(
      "SELECT tidemark.put('events', 'k', decode(repeat('ab', 3000), 'hex')) FROM generate_series(1, 900)"
    )
    let stream = try database.stream("events")
    let reader = try await stream.reader(of: try await stream.shards()[0].id, after: .trimHorizon)
    var pages: [[Int]] = []
    while pages.joined().count < sizes.count {
      let page = try await reader.nextPage(maximumRecords: 500)
      pages.append(page.records.map(\.sizeInBytes))
      if pages.joined().count < sizes.count { #expect(page.millisBehindLatest >= 0 && !page.records.isEmpty) }
    }
    #expect(Array(pages.joined()) == sizes)
    for page in pages {
      #expect(page.count <= 500)
      // The last of a page is the one that passes the limit.
      #expect(page.dropLast().reduce(0, +) < 1 << 20)
    }
    let (rest, isCutShort) = try await #require(reader as? PostgresShardReader).read(maximumRecords: 10)
    #expect(rest.records.isEmpty && !isCutShort)
  }
}
