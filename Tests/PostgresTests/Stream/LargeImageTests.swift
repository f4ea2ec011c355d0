import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("Images that are larger than the stream takes", .sharesMachine)
struct LargeImageTests {
  /// The JSON around a text in the column `body` of the item 1.
  private static let frame = #"{"id":1,"body":""}"#.utf8.count
  private static let mebibyte = 1 << 20

  private func documents(
    _ capture: StreamCapture,
    viewType: StreamViewType = .newAndOldImages,
    maximumImageSize: Int = mebibyte
  ) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE doc (id int PRIMARY KEY, body text)")
    try await database.admin.enable(
      table: "doc",
      viewType: viewType,
      capture: capture,
      shardCount: 1,
      maximumImageSize: maximumImageSize
    )
    return database
  }

  /// What each record says of its images: a dash for none.
  private func images(_ records: [Record]) -> [String] {
    records.compactMap(\.change).map { change in
      let images = [Change.Part.oldImage, .newImage].map { part in
        change.omits(part) ? "omitted" : change.image(part).map { "\($0.bytes.count)" } ?? "-"
      }
      return "\(change.eventName.rawValue) \(change.keys) \(images.joined(separator: " "))"
    }
  }

  private func images(of stream: PostgresStream) async throws -> [String] {
    images(try await stream.readAll())
  }

  @Test(
    "An image of as many bytes as the stream takes is whole, one of a byte more is left out",
    arguments: StreamCapture.allCases
  )
  func limit(capture: StreamCapture) async throws {
    let database = try await documents(capture)
    let most = Self.mebibyte
    try await database.run(
      """
      INSERT INTO doc SELECT 1, repeat('a', \(most - Self.frame));
      UPDATE doc SET body = body || 'a';
      UPDATE doc SET body = repeat(chr(1), \((most - Self.frame) / 6));
      UPDATE doc SET body = body || chr(1);
      UPDATE doc SET body = 'small';
      UPDATE doc SET body = repeat('é', \(most / 2));
      UPDATE doc SET id = 2;
      DELETE FROM doc;
      """
    )
    let full = Self.frame + (most - Self.frame) / 6 * 6
    #expect(
      try await images(of: database.stream("doc")) == [
        #"INSERT {"id":1} - \#(most)"#,
        #"MODIFY {"id":1} \#(most) omitted"#,
        #"MODIFY {"id":1} omitted \#(full)"#,
        #"MODIFY {"id":1} \#(full) omitted"#,
        #"MODIFY {"id":1} omitted \#(Self.frame + 5)"#,
        #"MODIFY {"id":1} \#(Self.frame + 5) omitted"#,
        #"REMOVE {"id":1} omitted -"#,
        #"INSERT {"id":2} - omitted"#,
        #"REMOVE {"id":2} omitted -"#,
      ]
    )
  }

  @Test(
    "Rows of 20 MB are written, changed beside the large value, and removed",
    arguments: StreamCapture.allCases
  )
  func largeRows(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE doc (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, body bytea);
      ALTER TABLE doc ALTER body SET STORAGE EXTERNAL
      """
    )
    try await database.admin.enable(table: "doc", capture: capture, shardCount: 1)
    try await database.run(
      """
      INSERT INTO doc SELECT 1, 0, decode(repeat('00ff', \(10 * Self.mebibyte)), 'hex');
      UPDATE doc SET n = 1;
      UPDATE doc SET n = 1;
      UPDATE doc SET body = NULL;
      DELETE FROM doc;
      """
    )
    let small = #"{"id":1,"n":1,"body":null}"#.utf8.count
    #expect(
      try await images(of: database.stream("doc")) == [
        #"INSERT {"id":1} - omitted"#, #"MODIFY {"id":1} omitted omitted"#,
        #"MODIFY {"id":1} omitted \#(small)"#, #"REMOVE {"id":1} \#(small) -"#,
      ]
    )
  }

  @Test("What counts of a compressed value is its full size", arguments: StreamCapture.allCases)
  func compressed(capture: StreamCapture) async throws {
    let database = try await documents(capture)
    // The decoder gets both rows of the update as a whole.
    let size = (capture == .trigger ? 300 : 30) * Self.mebibyte
    try await database.run(
      "INSERT INTO doc SELECT 1, repeat('a', \(size)); UPDATE doc SET id = 2; DELETE FROM doc"
    )
    #expect(
      try await images(of: database.stream("doc")) == [
        #"INSERT {"id":1} - omitted"#, #"REMOVE {"id":1} omitted -"#, #"INSERT {"id":2} - omitted"#,
        #"REMOVE {"id":2} omitted -"#,
      ]
    )
  }

  @Test(
    "A value that is larger as JSON than as it is stored is measured as JSON",
    arguments: StreamCapture.allCases
  )
  func largerAsJSON(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE doc (id int PRIMARY KEY, list int[], doc jsonb)")
    try await database.admin.enable(
      table: "doc",
      capture: capture,
      shardCount: 1,
      maximumImageSize: Self.mebibyte
    )
    try await database.run(
      """
      INSERT INTO doc SELECT 1, array_fill(NULL::int, ARRAY[1000000]);
      INSERT INTO doc SELECT 2, array_fill(1, ARRAY[500000]);
      INSERT INTO doc SELECT 3, NULL, jsonb_build_array(repeat('b', 2000000));
      """
    )
    #expect(
      try await images(of: database.stream("doc")) == [
        #"INSERT {"id":1} - omitted"#, #"INSERT {"id":2} - 1000028"#, #"INSERT {"id":3} - omitted"#,
      ]
    )
  }

  @Test("TRUNCATE leaves out what a DELETE would", arguments: StreamCapture.allCases, StreamViewType.allCases)
  func truncate(capture: StreamCapture, viewType: StreamViewType) async throws {
    let database = try await documents(capture, viewType: viewType)
    try await database.run(
      """
      INSERT INTO doc VALUES (1, 'small'), (2, repeat('a', 30000000)), (3, repeat('b', 100000));
      TRUNCATE doc;
      INSERT INTO doc VALUES (1, 'small'), (2, repeat('a', 30000000)), (3, repeat('b', 100000));
      DELETE FROM doc
      """
    )
    let removals = try await images(of: database.stream("doc")).filter { $0.hasPrefix("REMOVE") }
    #expect(removals.count == 6 && removals.prefix(3) == removals.suffix(3))
    let has = viewType == .oldImage || viewType == .newAndOldImages
    #expect(removals[1] == #"REMOVE {"id":2} \#(has ? "omitted" : "-") -"#)
  }

  @Test("A snapshot leaves out what an INSERT would", arguments: StreamCapture.allCases)
  func snapshot(capture: StreamCapture) async throws {
    let database = try await documents(capture)
    try await database.run(
      "INSERT INTO doc VALUES (1, 'small'), (2, repeat('a', 30000000)), (3, repeat('b', 100000))"
    )
    let stream = try database.stream("doc")
    let inserted = try await images(of: stream)
    let view = try #require(
      try await stream.startingWithSnapshot(for: "a", isNew: true) as? PostgresStream
    )
    let copied = try await view.readAll()
    #expect(copied.allSatisfy { $0.change?.isSnapshot == true })
    #expect(images(copied) == inserted)
    #expect(inserted[1] == #"INSERT {"id":2} - omitted"#)
  }

  @Test("The decoder of an image that was left out says so, and the keys are there")
  func decoding() async throws {
    struct Document: Decodable { var id: Int }
    let database = try await documents(.trigger)
    try await database.run("INSERT INTO doc SELECT 1, repeat('a', 2000000)")
    let change = try #require(try await database.stream("doc").readAll().first?.change)
    let error = #expect(throws: TidemarkError.self) { _ = try change.newImage(as: Document.self) }
    #expect(error?.code == .imageOmitted)
    #expect(try change.keys(as: Document.self).id == 1)
    #expect(change.newImage == nil && !change.omits(.oldImage))
    #expect(try change.oldImage(as: Document.self) == nil)
  }

  @Test("What the stream takes can be changed, and nothing beyond a value of the server's is taken")
  func setting() async throws {
    let database = try await documents(.trigger)
    let insert = "INSERT INTO doc SELECT count(*) + 1, repeat('a', 2000000) FROM doc"
    try await database.run(insert)
    let altered = try await database.admin.alter("doc") { $0.maximumImageSize = 2 << 20 }
    #expect(altered.settings.maximumImageSize == 2 << 20)
    try await database.run(insert)
    #expect(
      try await images(of: database.stream("doc")) == [
        #"INSERT {"id":1} - omitted"#, #"INSERT {"id":2} - \#(2_000_000 + Self.frame)"#,
      ]
    )
    for size in [0, 1 << 10, 257 << 20] {
      let error = try await #require(throws: TidemarkError.self) {
        try await database.admin.alter("doc") { $0.maximumImageSize = size }
      }
      #expect(error.code == .invalidConfiguration && error.message.contains("max-image"))
    }
  }
}
