import Foundation
import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

@Suite("tidemark stream", .sharesMachine)
struct StreamTests {
  @Test("create makes the schema, says so, and shows the stream as text and as JSON")
  func create() async throws {
    let tidemark = try await CommandDatabase.make(migrated: false).tidemark
    let text = try await tidemark.run("stream", "create", "clicks", "--shards", "2", "--retention", "90m")
    #expect(text.status == 0)
    #expect(text.errors.contains("setting the database up"))
    #expect(text.table.contains(["Retention", "90m"]))
    #expect(text.table.contains(["Shards", "2", "open,", "0", "closed"]))
    let json = try await tidemark.run("stream", "create", "views", "--retention", "1500ms", "--json")
    #expect(json.errors.isEmpty)
    let stream = try json.decode(StreamDocument.self)
    #expect(stream.name == "views" && stream.status == "ENABLED" && stream.table == nil)
    #expect(stream.retentionSeconds == 1.5)
    #expect(stream.shards.count == 4 && stream.shards.allSatisfy(\.isOpen))
  }

  @Test("create and enable say so where the database's encoding does not tell what is UTF-8")
  func unknownEncoding() async throws {
    let database = try await CommandDatabase.make(encoding: "SQL_ASCII")
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    for command in [["create", "clicks"], ["enable", "item"]] {
      let outcome = try await database.tidemark.run("stream", command[0], command[1], "--json")
      #expect(outcome.status == 0 && outcome.errors.contains("SQL_ASCII"))
    }
  }

  @Test("put with an idempotency token can be repeated, and says what had been put before")
  func repeatedPut() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    _ = try await tidemark.run("stream", "create", "s", "--shards", "1")
    func put(_ input: String) async throws -> String {
      try await tidemark.run("stream", "put", "s", "--key", "k", "--idempotency-token", "t", input: input)
        .output
    }
    #expect(try await put("a\nb") == "Put 2 records to s.\n")
    #expect(
      try await put("a\nb\nc")
        == "Put 1 record to s. 2 had been put before with the same idempotency token.\n"
    )
    for count in [1, 0] {
      let one = try await tidemark.run(
        "stream",
        "put",
        "s",
        "--key",
        "k",
        "--idempotency-token",
        "t",
        "--data",
        "d"
      )
      #expect(one.output.hasPrefix("Put \(count) record"))
    }
    let records = try await tidemark.run("stream", "tail", "s", "--no-follow", "--json")
    #expect(records.output.split(separator: "\n").count == 4)
  }

  @Test("describe names when changes may be missing")
  func problems() async throws {
    let database = try await CommandDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    _ = try await database.tidemark.run("stream", "enable", "item")
    try await database.run("ALTER TABLE item DISABLE TRIGGER \"!tidemark_capture\"")
    // Whoever reads a stream looks after it.
    try await PostgresStreamAdmin(database.pool).watchConditions()
    let text = try await database.tidemark.run("stream", "describe", "item").output
    #expect(text.contains("nothing captures the changes of public.item"))
    #expect(text.contains("changes may be missing from ") && text.contains("when it was put right"))
    let json = try await database.tidemark.run("stream", "describe", "item", "--json").output
    #expect(json.contains("\"is_mended\":true") || json.contains("\"is_mended\": true"))
  }

  @Test("enable captures a table's changes, and disable ends that")
  func enable() async throws {
    let database = try await CommandDatabase.make(migrated: false)
    let tidemark = database.tidemark
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    let enabled = try await tidemark.run(
      "stream",
      "enable",
      "item",
      "--name",
      "items",
      "--view-type",
      "NEW_IMAGE",
      "--shards",
      "1",
      "--json"
    )
    #expect(enabled.status == 0)
    let stream = try enabled.decode(StreamDocument.self)
    #expect(stream.name == "items" && stream.table == "public.item" && stream.viewType == "NEW_IMAGE")
    #expect(stream.keyColumns == ["id"])
    try await database.run("INSERT INTO item VALUES (1, 'one'); UPDATE item SET name = 'two'")
    try await database.run(
      """
      INSERT INTO tidemark.inbox_1 (event_name, cause, partition_key)
      VALUES ('REMOVE', 'E', '{"id":1}')
      """
    )
    let disabled = try await tidemark.run("stream", "disable", "items")
    #expect(disabled.table.contains(["Status", "DISABLED"]))
    try await database.run("DELETE FROM item")
    // A disabled stream has an end, so this ends by itself.
    let records = try await tidemark.run("stream", "tail", "items", "--json").decodeLines(RecordDocument.self)
    #expect(records.map(\.eventName) == ["INSERT", "MODIFY", "REMOVE"])
    #expect(records.map(\.newImage?.name) == ["one", "two", nil])
    #expect(records.allSatisfy { $0.keys?.id == 1 && $0.oldImage == nil && $0.viewType == "NEW_IMAGE" })
    #expect(records.map(\.sizeBytes) == [29, 29, 8])
    #expect(Set(records.map(\.eventId)).count == 3 && records.allSatisfy { $0.eventId.count == 32 })
    let expiry = RecordDocument.Identity(type: "Service", principalId: "tidemark.expiry")
    #expect(records.map(\.userIdentity) == [nil, nil, expiry])
    #expect(records.allSatisfy { $0.isSnapshot == false })
    let again = try await tidemark.run("stream", "disable", "items", "--json")
    #expect(again.status == 1)
  }

  @Test(
    "An image that is larger than the stream takes is marked as left out, and alter lets the stream take it"
  )
  func largeImages() async throws {
    let database = try await CommandDatabase.make(migrated: false)
    let tidemark = database.tidemark
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    let enabled = try await tidemark.run("stream", "enable", "item", "--max-image", "1")
    #expect(enabled.table.contains(["Largest", "image", "1", "MiB"]))
    try await database.run("INSERT INTO item SELECT 1, repeat('a', 2000000); UPDATE item SET name = 'b'")
    let altered = try await tidemark.run("stream", "alter", "item", "--max-image", "2")
    #expect(altered.table.contains(["Largest", "image", "2", "MiB"]))
    try await database.run("UPDATE item SET name = repeat('c', 2000000)")
    let records = try await tidemark.run("stream", "tail", "item", "--no-follow", "--json")
      .decodeLines(RecordDocument.self)
    #expect(records.map(\.omittedImages) == [["new_image"], ["old_image"], []])
    #expect(records.map(\.newImage?.name?.count) == [nil, 1, 2_000_000])
    let lines = try await tidemark.run(
      "stream",
      "tail",
      "item",
      "--no-follow",
      "--limit",
      "2",
      "--log-level",
      "warning"
    )
    #expect(lines.output.contains(#"{"id":1} new=omitted"#))
    #expect(lines.output.contains(#"{"id":1} old=omitted new={"id":1,"name":"b"}"#))
    #expect(lines.errors.contains("lack an image"))
    #expect(try await tidemark.run("stream", "alter", "item", "--max-image", "0").status == 1)
  }

  @Test("what is in the database cannot steer a terminal: names and texts are printed escaped")
  func hostileTexts() async throws {
    let database = try await CommandDatabase.make()
    let name = "a\u{202E}b\u{9B}c\u{2028}d\u{1B}[2J\n"
    try await database.run(#"CREATE TABLE "\#(name)" (id int PRIMARY KEY, e timestamptz, note text)"#)
    let tidemark = database.tidemark
    let enabled = try await tidemark.run("stream", "enable", #""\#(name)""#, "--expiry-column", "e")
    #expect(enabled.errors.contains("CREATE INDEX CONCURRENTLY"))
    try await database.run(#"INSERT INTO "\#(name)" VALUES (1, NULL, '\#(name)')"#)
    try await database.run(#"ALTER TABLE "\#(name)" DISABLE TRIGGER ALL"#)
    let stream = try await database.describe(name)
    var outcomes = [enabled]
    outcomes.append(try await tidemark.run("stream", "list"))
    outcomes.append(try await tidemark.run("stream", "describe", name))
    outcomes.append(try await tidemark.run("stream", "check", name))
    outcomes.append(try await tidemark.run("stream", "tail", name, "--no-follow"))
    outcomes.append(try await tidemark.run("stream", "split", name, stream.shards[0].id))
    outcomes.append(try await tidemark.run("stream", "describe", name + "x"))
    #expect(outcomes.map(\.status) == [0, 0, 0, 1, 0, 0, 1])
    for (number, outcome) in outcomes.enumerated() {
      let text = outcome.output + outcome.errors
      #expect(
        !text.unicodeScalars.contains { $0 != "\n" && TableTests.isDangerous($0) },
        "\(number): \(text)"
      )
      if number != 5 {
        #expect(text.contains(#"a\u{202E}b"#) && text.contains("[2J"), "\(number): \(text)")
      }
    }
  }

  @Test("check prints each condition, and exits with 1 if one is broken")
  func check() async throws {
    let database = try await CommandDatabase.make(migrated: false)
    let tidemark = database.tidemark
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    _ = try await tidemark.run("stream", "enable", "item")
    let good = try await tidemark.run("stream", "check")
    #expect(good.status == 0 && good.output.contains("row triggers"))
    try await database.run("ALTER TABLE item DISABLE TRIGGER ALL")
    let broken = try await tidemark.run("stream", "check", "item")
    #expect(broken.status == 1)
    #expect(broken.output.contains("nothing captures the changes of public.item"))
    #expect(broken.output.contains("Disable the stream"))
    let missing = try await tidemark.run("stream", "check", "nothing")
    #expect(missing.status == 1 && missing.errors.contains("there is no stream"))
  }

  @Test("tail prints the records of all streams of a short name, and of one alone by its full name")
  func succession() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    var names: [String] = []
    for data in ["one", "two"] {
      let created = try await tidemark.run("stream", "create", "s", "--shards", "2", "--json")
      names.append(try created.decode(StreamDocument.self).fullName)
      _ = try await tidemark.run("stream", "put", "s", "--key", "k", "--data", data)
      _ = try await tidemark.run("stream", "disable", "s")
    }
    func tail(_ name: String) async throws -> [String?] {
      try await tidemark.run("stream", "tail", name, "--json").decodeLines(RecordDocument.self).map(\.data)
    }
    #expect(try await tail("s") == ["one", "two"])
    #expect(try await tail(names[0]) == ["one"])
    #expect(try await tail(names[1]) == ["two"])
  }

  @Test("describe shows snapshots, and snapshot drop deletes one")
  func snapshot() async throws {
    let database = try await CommandDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1), (2)")
    _ = try await database.tidemark.run("stream", "enable", "item", "--shards", "1")
    _ = try await PostgresStream("item", pool: database.pool, logger: CommandDatabase.logger)
      .startingWithSnapshot(for: "app", isNew: true)
    let text = try await database.tidemark.run("stream", "describe", "item")
    #expect(text.table.contains { $0.prefix(5) == ["Snapshot", "for", "app:", "2", "records,"] })
    let drop = ["stream", "snapshot", "drop", "item", "--application", "app", "--json"]
    #expect(try await database.tidemark.start(drop).outcome.status != 0)
    let dropped = try await database.tidemark.start(drop + ["--yes"]).outcome
    #expect(dropped.status == 0)
    #expect(dropped.output.contains(#""snapshots": []"#))
    let again = try await database.tidemark.start(drop + ["--yes"]).outcome
    #expect(again.status == 1)
    #expect(again.errors.contains("no snapshot"))
  }

  @Test(
    "alter changes what is named and nothing else, describe shows it, and what is wrong is all said at once"
  )
  func alter() async throws {
    let database = try await CommandDatabase.make()
    let tidemark = database.tidemark
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, expires_at timestamptz)")
    let enabled = try await tidemark.start([
      "stream", "enable", "item", "--shards", "1", "--expiry-column", "expires_at", "--rotate-after", "never",
      "--split-above", "500/s", "--json",
    ]).outcome
    #expect(enabled.errors.contains("CREATE INDEX CONCURRENTLY ON public.item (\"expires_at\")"))
    let first = try enabled.decode(StreamDocument.self)
    #expect(first.expiryColumn == "expires_at")
    #expect(first.sharding.rotateAfterSeconds == nil && first.sharding.splitAbove == 500)
    #expect(first.sharding.mergeBelow == 10 && first.sharding.minimumShards == 1)
    try await database.run("CREATE INDEX ON item (expires_at)")
    let altered = try await tidemark.start([
      "stream", "alter", "item", "--retention", "48h", "--rotate-after", "90m", "--merge-below", "0.5",
      "--sustained-time", "5s", "--maximum-shards", "8",
    ]).outcome
    #expect(altered.errors.isEmpty)
    let described = try await tidemark.run("stream", "describe", "item")
    #expect(described.output == altered.output)
    for line in [
      ["Retention", "48h"], ["Expiry", "column", "expires_at"], ["Rotate", "after", "90m"],
      ["Split", "above", "500/s", "for", "5s"], ["Merge", "below", "0.5/s", "for", "50s"],
      ["Shards", "to", "keep", "1", "to", "8"],
    ] {
      #expect(described.table.contains(line))
    }
    #expect(described.table.last?[1] == "open" && described.table.last?[3] == "0/s")
    let wrong = try await tidemark.run(
      "stream",
      "alter",
      "item",
      "--split-above",
      "1",
      "--minimum-shards",
      "0"
    )
    #expect(wrong.status == 1)
    #expect(wrong.errors.contains("split-above") && wrong.errors.contains("minimum-shards"))
    #expect(try await tidemark.run("stream", "describe", "item").output == described.output)
    let none = try await tidemark.run("stream", "alter", "item", "--no-expiry", "--json")
    #expect(try none.decode(StreamDocument.self).expiryColumn == nil)
    for argument in [
      ["--rotate-after", "soon"], ["--split-above", "-1"], ["--expiry-column", "e", "--no-expiry"],
    ] {
      #expect(try await tidemark.start(["stream", "alter", "item"] + argument).outcome.status == 64)
    }
  }

  @Test("grant and revoke give and take a role's rights")
  func rights() async throws {
    let database = try await CommandDatabase.make()
    let tidemark = database.tidemark
    _ = try await tidemark.run("stream", "create", "s")
    let role = "tidemark_command_\(UInt64.random(in: 0 ... .max))"
    try await database.run("CREATE ROLE \(role)")
    func mayRead() async throws -> Bool {
      try await database.pool.query(
        "SELECT has_function_privilege(\(role), 'tidemark.note_loss(integer, bigint)', 'EXECUTE')"
      )[0]
      .decode(
        Bool.self
      )
    }
    #expect(try await tidemark.run("grant", "administrator", role).status == 0)
    #expect(try await !mayRead())
    #expect(try await tidemark.run("grant", "consumer", role, "--stream", "s").status == 0)
    #expect(try await mayRead())
    #expect(try await tidemark.run("revoke", role).status == 0)
    #expect(try await !mayRead())
    try await database.run("DROP ROLE \(role)")
    let unknown = try await tidemark.run("grant", "consumer", role)
    #expect(unknown.status == 1 && unknown.errors.contains(role))
    #expect(try await tidemark.run("grant", "owner", role).status == 64)
  }

  @Test("list shows all streams")
  func list() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    #expect(try await tidemark.run("stream", "list").output == "There are no streams.\n")
    for name in ["a", "b"] { _ = try await tidemark.run("stream", "create", name) }
    let table = try await tidemark.run("stream", "list").table
    #expect(table.dropFirst().map { $0[0].prefix(2) } == ["a/", "b/"])
    let json = try await tidemark.run("stream", "list", "--json").decode([String: [StreamDocument]].self)
    #expect(json["streams"]?.map(\.name) == ["a", "b"])
  }

  @Test("split and merge change the shards, and describe shows them beneath their parents")
  func shards() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    let created = try await tidemark.run("stream", "create", "s", "--shards", "1", "--json")
    let root = try created.decode(StreamDocument.self).shards[0].shardId
    let split = try await tidemark.run("stream", "split", "s", root, "--at", "0x40000000", "--json")
    let children = try #require(try split.decode([String: [String]].self)["child_shard_ids"])
    #expect(children.count == 2)
    let merged = try await tidemark.run("stream", "merge", "s", children[0], children[1])
    #expect(merged.status == 0)
    let stream = try await tidemark.run("stream", "describe", "s", "--json").decode(StreamDocument.self)
    #expect(stream.shards.map(\.parentShardIds) == [[], [root], [root], children])
    #expect(stream.shards.map(\.isOpen) == [false, false, false, true])
    #expect(stream.shards[2].hashRange.start == "\(UInt128(0x4000_0000) << 96)")
    #expect(merged.output.contains(stream.shards[3].shardId))
    let lines = try await tidemark.run("stream", "describe", "s").output.split(separator: "\n")
    let tree = stream.shards.compactMap { shard in
      lines.first { $0.drop { $0 == " " }.hasPrefix(shard.shardId) }
    }
    #expect(tree.map { $0.prefix { $0 == " " }.count } == [0, 2, 2, 4])
    #expect(tree[2].contains("0x40000000-0xffffffff"))
    #expect(tree[3].contains("open") && tree[3].hasSuffix(children.joined(separator: ", ")))
  }

  @Test("put takes text, a file, or each line of standard input, and tail prints them")
  func putAndTail() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    _ = try await tidemark.run("stream", "create", "s", "--shards", "1")
    let one = try await tidemark.run("stream", "put", "s", "--key", "k", "--data", "a\tb\u{1B}[2J")
    #expect(one.output == "Put 1 record to s.\n")
    let lines = try await tidemark.run("stream", "put", "s", "--key", "k", "--json", input: "x\r\n\ny")
    #expect(lines.output.contains(#""records": 3"#))
    let text = try await tidemark.run("stream", "tail", "s", "--no-follow")
    #expect(text.status == 0)
    #expect(text.output.split(separator: "\n").count == 4)
    #expect(text.output.contains(#"DATA key=k a\tb\u{1B}[2J"#))
    let json = try await tidemark.run("stream", "tail", "s", "--no-follow", "--json")
    let records = try json.decodeLines(RecordDocument.self)
    #expect(records.map(\.data) == ["a\tb\u{1B}[2J", "x", "", "y"])
    let second = records[1].sequenceNumber
    let rest = try await tidemark.run("stream", "tail", "s", "--no-follow", "--json", "--from", second)
    #expect(try rest.decodeLines(RecordDocument.self) == Array(records[2...]))
    let time = "AT_TIMESTAMP:\(records[3].approximateCreationTime)"
    let last = try await tidemark.run("stream", "tail", "s", "--json", "--from", time, "--limit", "1")
    #expect(try last.decodeLines(RecordDocument.self) == [records[3]])
  }

  @Test("put takes bytes from a file, and tail shows what is no text as Base64")
  func bytes() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    _ = try await tidemark.run("stream", "create", "s", "--shards", "1")
    let directory = try TemporaryDirectory()
    let file = directory.path + "/data"
    #expect(FileManager.default.createFile(atPath: file, contents: Data([0, 255])))
    #expect(try await tidemark.run("stream", "put", "s", "--key", "k", "--file", file).status == 0)
    let json = try await tidemark.run("stream", "tail", "s", "--limit", "1", "--json")
    let record = try #require(try json.decodeLines(RecordDocument.self).first)
    #expect(record.data == nil && record.dataBase64 == "AP8=")
    let missing = try await tidemark.run("stream", "put", "s", "--key", "k", "--file", file + "x")
    #expect(missing.status == 1)
    #expect(missing.errors.contains(file + "x"))
  }

  @Test("tail reads children after their parents")
  func lineage() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    _ = try await tidemark.run("stream", "create", "s", "--shards", "1")
    for data in ["1", "2", "3"] {
      _ = try await tidemark.run("stream", "put", "s", "--key", "k", "--data", data)
      let stream = try await tidemark.run("stream", "describe", "s", "--json").decode(StreamDocument.self)
      let open = stream.shards.filter(\.isOpen).map(\.shardId)
      let change = open.count == 1 ? ["split", "s", open[0]] : ["merge", "s"] + open
      #expect(try await tidemark.start(["stream"] + change).outcome.status == 0)
    }
    let json = try await tidemark.run("stream", "tail", "s", "--no-follow", "--json")
    #expect(try json.decodeLines(RecordDocument.self).map(\.data) == ["1", "2", "3"])
  }

  @Test("tail from LATEST prints only what comes later, with the images that the stream has")
  func latest() async throws {
    let database = try await CommandDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, name text)")
    _ = try await database.tidemark.run("stream", "enable", "item", "--shards", "1")
    try await database.run("INSERT INTO item VALUES (1, 'one')")
    let earlier = try await database.tidemark.run("stream", "tail", "item", "--from", "LATEST", "--no-follow")
    #expect(earlier.status == 0 && earlier.output.isEmpty)
    let tail = try database.tidemark.start(["stream", "tail", "item", "--from", "LATEST", "--limit", "1"])
    // When it has begun cannot be seen from outside, so there is always another change.
    var names = 0
    try await eventually("a change is printed") {
      names += 1
      try await database.run("UPDATE item SET name = 'name \(names)'")
      return !tail.output.isEmpty
    }
    let outcome = await tail.outcome
    #expect(outcome.status == 0)
    #expect(outcome.output.contains(#"MODIFY {"id":1} old={"id":1,"name":""#))
    #expect(outcome.output.contains(#"new={"id":1,"name":"name "#))
    #expect(outcome.output.split(separator: "\n").count == 1)
  }

  @Test("tail waits for new records, and Ctrl-C ends it with success")
  func follow() async throws {
    let tidemark = try await CommandDatabase.make().tidemark
    _ = try await tidemark.run("stream", "create", "s")
    let tail = try tidemark.start(["stream", "tail", "s"])
    for data in ["first", "second"] {
      _ = try await tidemark.run("stream", "put", "s", "--key", "k", "--data", data)
      try await eventually("\(data) is printed") { tail.output.contains(data) }
    }
    tail.signal(SIGINT)
    let outcome = await tail.outcome
    #expect(outcome.status == 0)
    #expect(outcome.errors.isEmpty)
  }

  @Test("A command that waits for its input ends at once when it is interrupted")
  func interrupted() async throws {
    let database = try await CommandDatabase.make()
    _ = try await database.tidemark.run("stream", "create", "s")
    func sessions() async throws -> Int {
      let rows = try await database.pool.query(
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'tidemark'
        """
      )
      return try rows[0].decode(Int.self)
    }
    // The server may notice a little later that the first command has ended.
    try await eventually("the first command has left") { try await sessions() == 0 }
    let put = try database.tidemark.start(["stream", "put", "s", "--key", "k"], input: nil)
    try await eventually("the command is connected") { try await sessions() > 0 }
    put.signal(SIGTERM)
    #expect(await put.outcome.status == 128 + SIGTERM)
  }
}
