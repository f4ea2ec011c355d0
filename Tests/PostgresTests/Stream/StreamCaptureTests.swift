import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkStreams

@Suite("Capturing the changes of a table", .sharesMachine)
struct StreamCaptureTests {
  @Test(
    "A record carries what its view type says",
    arguments: [
      (
        StreamViewType.keysOnly,
        [#"INSERT {"id":1}"#, #"MODIFY {"id":1}"#, #"REMOVE {"id":1}"#]
      ),
      (
        .newImage,
        [
          #"INSERT {"id":1} new {"id":1,"name":"a"}"#, #"MODIFY {"id":1} new {"id":1,"name":"b"}"#,
          #"REMOVE {"id":1}"#,
        ]
      ),
      (
        .oldImage,
        [
          #"INSERT {"id":1}"#, #"MODIFY {"id":1} old {"id":1,"name":"a"}"#,
          #"REMOVE {"id":1} old {"id":1,"name":"b"}"#,
        ]
      ),
      (
        .newAndOldImages,
        [
          #"INSERT {"id":1} new {"id":1,"name":"a"}"#,
          #"MODIFY {"id":1} old {"id":1,"name":"a"} new {"id":1,"name":"b"}"#,
          #"REMOVE {"id":1} old {"id":1,"name":"b"}"#,
        ]
      ),
    ],
    StreamCapture.allCases
  )
  func viewTypes(_ change: (viewType: StreamViewType, expected: [String]), capture: StreamCapture)
    async throws
  {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    try await database.admin.enable(table: "item", viewType: change.viewType, capture: capture)
    try await database.run("INSERT INTO item VALUES (1, 'a')")
    try await database.run("UPDATE item SET name = 'b'")
    try await database.run("DELETE FROM item")
    #expect(try await database.stream("item").readAll().map(\.summary) == change.expected)
  }

  @Test(
    "An update that changes nothing, a delete of nothing and a rolled-back transaction make no record",
    arguments: StreamCapture.allCases
  )
  func nothingChanged(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      "CREATE TABLE item (id int PRIMARY KEY, body json); INSERT INTO item VALUES (1, '{}')"
    )
    try await database.admin.enable(table: "item", capture: capture)
    try await database.run("UPDATE item SET body = '{}'; DELETE FROM item WHERE id = 7")
    try await database.run("BEGIN; INSERT INTO item VALUES (2); UPDATE item SET body = '[]'; ROLLBACK")
    try await database.run("BEGIN; SAVEPOINT s; INSERT INTO item VALUES (3); ROLLBACK TO s; COMMIT")
    try await database.run("INSERT INTO item VALUES (4, '4')")
    #expect(
      try await database.stream("item").readAll().map(\.summary) == [
        #"INSERT {"id":4} new {"id":4,"body":4}"#
      ]
    )
  }

  @Test(
    "An item's keys and images read the same whatever the writing session's settings",
    arguments: StreamCapture.allCases
  )
  func sessionSettings(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (at timestamptz, bytes bytea, length interval, size float8,
        PRIMARY KEY (at, bytes, size))
      """
    )
    try await database.admin.enable(table: "item", capture: capture)
    try await database.run(
      #"INSERT INTO item VALUES ('2026-01-01 00:00Z', '\x6162', '1 day 2 hours', 1::float8 / 3)"#
    )
    try await database.run(
      """
      BEGIN; SET LOCAL timezone = 'Asia/Tokyo'; SET LOCAL bytea_output = 'escape';
      SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL extra_float_digits = -5;
      DELETE FROM item; COMMIT
      """
    )
    let records = try await database.stream("item").readAll()
    try #require(records.count == 2)
    #expect(records[0].partitionKey == records[1].partitionKey)
    #expect(records[0].change?.newImage?.description == records[1].change?.oldImage?.description)
  }

  @Test("A changed primary key is a removal and an insertion", arguments: StreamCapture.allCases)
  func changedKey(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a')"
    )
    try await database.admin.enable(table: "item", capture: capture, shardCount: 1)
    try await database.run("UPDATE item SET id = 2, name = 'b'")
    #expect(
      try await database.stream("item").readAll().map(\.summary) == [
        #"REMOVE {"id":1} old {"id":1,"name":"a"}"#, #"INSERT {"id":2} new {"id":2,"name":"b"}"#,
      ]
    )
  }

  @Test("TRUNCATE removes every row, with or without images", arguments: StreamCapture.allCases)
  func truncate(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE one (id int PRIMARY KEY, name text); INSERT INTO one VALUES (1, 'a'), (2, 'b');
      CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (3)
      """
    )
    try await database.admin.enable(table: "one", capture: capture)
    try await database.admin.enable(table: "other", viewType: .keysOnly, capture: capture)
    try await database.run("BEGIN; TRUNCATE one; ROLLBACK; TRUNCATE one, other; TRUNCATE one")
    #expect(
      Set(try await database.stream("one").readAll().map(\.summary)) == [
        #"REMOVE {"id":1} old {"id":1,"name":"a"}"#, #"REMOVE {"id":2} old {"id":2,"name":"b"}"#,
      ]
    )
    #expect(try await database.stream("other").readAll().map(\.summary) == [#"REMOVE {"id":3}"#])
  }

  @Test(
    "A statement over many rows makes a record for each, and an upsert is what it did",
    arguments: StreamCapture.allCases
  )
  func manyRows(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture)
    try await database.run("INSERT INTO item SELECT i FROM generate_series(1, 5000) AS i")
    try await database.run("UPDATE item SET name = 'x' WHERE id <= 3000")
    try await database.run(
      "INSERT INTO item SELECT i, 'y' FROM generate_series(5000, 5001) i ON CONFLICT (id) DO UPDATE SET name = 'y'"
    )
    let records = try await database.stream("item").readAll()
    let events = Dictionary(grouping: records, by: { $0.change?.eventName }).mapValues(\.count)
    #expect(events == [.insert: 5001, .modify: 3001])
    #expect(Set(records.map(\.partitionKey)).count == 5001)
  }

  @Test(
    "Composite keys with awkward names are spelled as in the image, in the order of the key",
    arguments: StreamCapture.allCases
  )
  func compositeKeys(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      #"""
      CREATE SCHEMA "my shop";
      CREATE TABLE "my shop"."Order%s" (
        "tidemark item" text, id int, "re%1$gi\on's ""x""" text, "NEW" int, PRIMARY KEY ("re%1$gi\on's ""x""", id))
      """#
    )
    let description = try await database.admin.enable(
      table: #""my shop"."Order%s""#,
      capture: capture,
      shardCount: 1
    )
    #expect(description.name == "my shop.Order%s")
    #expect(description.keyColumns == [#"re%1$gi\on's "x""#, "id"])
    try await database.run(
      #"INSERT INTO "my shop"."Order%s" VALUES ('a', 1, 'eu "w"', 2); TRUNCATE "my shop"."Order%s""#
    )
    let keys = #"{"re%1$gi\\on's \"x\"":"eu \"w\"","id":1}"#
    let image = #"{"tidemark item":"a","id":1,"re%1$gi\\on's \"x\"":"eu \"w\"","NEW":2}"#
    #expect(
      try await database.stream("my shop.Order%s").readAll().map(\.summary) == [
        "INSERT \(keys) new \(image)", "REMOVE \(keys) old \(image)",
      ]
    )
  }

  @Test(
    "Columns that are added or dropped appear in the images and disappear from them",
    arguments: StreamCapture.allCases
  )
  func changedColumns(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, a text); INSERT INTO item VALUES (1, 'x')")
    try await database.admin.enable(table: "item", capture: capture, shardCount: 1)
    let writer = try StreamDatabase.makePool(database.url, connections: 1)
    func write(_ sql: PQStatement) async throws { try await writer.execute(sql) }
    try await write("UPDATE item SET a = 'y'")
    try await database.run("ALTER TABLE item ADD COLUMN b int DEFAULT 7")
    try await write("UPDATE item SET id = id, a = 'z'")
    try await database.run("ALTER TABLE item DROP COLUMN a")
    try await write("UPDATE item SET b = 8")
    #expect(
      try await database.stream("item").readAll().map(\.summary) == [
        #"MODIFY {"id":1} old {"id":1,"a":"x"} new {"id":1,"a":"y"}"#,
        #"MODIFY {"id":1} old {"id":1,"a":"y","b":7} new {"id":1,"a":"z","b":7}"#,
        #"MODIFY {"id":1} old {"id":1,"b":7} new {"id":1,"b":8}"#,
      ]
    )
  }

  @Test(
    "A column of another type that is added later is spelled alike from every session after maintenance",
    arguments: StreamCapture.allCases
  )
  func laterColumn(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item", viewType: .newImage, capture: capture, shardCount: 1)
    try await database.run("ALTER TABLE item ADD COLUMN at timestamptz[], ADD COLUMN took interval")
    try await database.admin.maintain()
    for (id, zone, style) in [(1, "Asia/Tokyo", "iso_8601"), (2, "UTC", "postgres_verbose")] {
      try await database.run(
        """
        SET timezone = '\(zone)'; SET intervalstyle = '\(style)';
        INSERT INTO item VALUES (\(id), ARRAY[timestamptz 'epoch'], '90 minutes');
        RESET ALL
        """
      )
    }
    #expect(
      try await database.stream("item").readAll().map(\.summary)
        == (1...2).map { id in
          #"INSERT {"id":\#(id)} new {"id":\#(id),"at":["1970-01-01T00:00:00+00:00"],"took":"01:30:00"}"#
        }
    )
  }

  @Test("A partitioned table has one stream, also for rows that move between partitions")
  func partitionedTable() async throws {
    let database = try await StreamDatabase.make()
    try await database.run(
      """
      CREATE TABLE item (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE item_low PARTITION OF item FOR VALUES FROM (0) TO (10);
      """
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, shardCount: 1)
    try await database.run(
      """
      CREATE TABLE item_high PARTITION OF item FOR VALUES FROM (10) TO (20);
      INSERT INTO item VALUES (1), (11); UPDATE item SET id = 12 WHERE id = 1;
      """
    )
    #expect(
      try await database.stream("item").readAll().map(\.summary) == [
        #"INSERT {"id":1}"#, #"INSERT {"id":11}"#, #"REMOVE {"id":1}"#, #"INSERT {"id":12}"#,
      ]
    )
  }

  @Test(
    "A record of 10 MB passes whole, and with another of that size in a page of its own",
    arguments: StreamCapture.allCases
  )
  func largeRecords(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, body text)")
    try await database.admin.enable(table: "item", capture: capture, shardCount: 1)
    try await database.run(
      "INSERT INTO item SELECT i, repeat(md5(i::text), 327680) FROM generate_series(1, 2) AS i"
    )
    let stream = try database.stream("item")
    try await stream.sequenceCommitted()
    let reader = try await stream.reader(of: try await stream.shards()[0].id, after: .trimHorizon)
    for id in 1...2 {
      let page = try await reader.nextPage(maximumRecords: 100)
      #expect(page.records.count == 1)
      let image = try #require(page.records.first?.change?.newImage)
      let expected = try await database.text("SELECT row_to_json(item)::text FROM item WHERE id = \(id)")
      #expect(image.bytes.count > 10_000_000)
      #expect(image.description == expected)
    }
  }

  @Test("A writer without any right on the stream's schema is captured", arguments: StreamCapture.allCases)
  func unprivilegedWriter(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make()
    let role = "writer_\(UInt32.random(in: 0 ... .max))"
    try await database.run(
      "CREATE TABLE item (id int PRIMARY KEY); CREATE ROLE \(role); GRANT INSERT ON item TO \(role)"
    )
    try await database.admin.enable(table: "item", viewType: .keysOnly, capture: capture)
    try await database.run("SET ROLE \(role); INSERT INTO item VALUES (1); RESET ROLE")
    #expect(try await database.stream("item").readAll().map(\.summary) == [#"INSERT {"id":1}"#])
    try await database.run("DROP OWNED BY \(role); DROP ROLE \(role)")
  }
}
