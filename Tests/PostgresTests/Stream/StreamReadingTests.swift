import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkStreams

@Suite("Reading a stream's shards", .sharesMachine)
struct StreamReadingTests {
  /// A put stream of one shard with a reader-friendly payload.
  private func makeStream(shardCount: Int = 1) async throws -> (StreamDatabase, PostgresStream) {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events", retention: .seconds(2), shardCount: shardCount)
    return (database, try database.stream("events"))
  }

  private func put(_ values: ClosedRange<Int>, in database: StreamDatabase) async throws {
    for value in values {
      try await database.admin.put([UInt8(value)], partitionKey: "key \(value)", to: "events")
    }
  }

  private func values(_ page: ShardPage) -> [Int] {
    page.records.map { record in if case .data(let data) = record.body { Int(data.first ?? 0) } else { -1 } }
  }

  @Test("An empty shard returns an empty page after about a second, with and without a pump")
  func emptyShard() async throws {
    let (_, stream) = try await makeStream()
    let reader = try await stream.reader(of: try await stream.shards()[0].id, after: .trimHorizon)
    let unpumped = try await ContinuousClock().measure {
      let page = try await reader.nextPage(maximumRecords: 10)
      #expect(page.records.isEmpty && page.end == nil && page.millisBehindLatest == 0)
    }
    #expect(unpumped >= .milliseconds(900))
    try await pumping(stream) {
      try await eventually("the pump runs") {
        try await stream.identified().heads.isPumped
      }
      let pumped = try await ContinuousClock().measure {
        let page = try await reader.nextPage(maximumRecords: 10)
        #expect(page.records.isEmpty)
      }
      #expect(pumped >= .milliseconds(900))
    }
  }

  @Test(
    "A page has at most the records asked for, a megabyte or one that is larger, and says how far behind it is"
  )
  func pageBounds() async throws {
    let (database, stream) = try await makeStream()
    try await put(1...5, in: database)
    for (value, size) in [(6, 600_000), (7, 2_000_000), (8, 600_000)] {
      try await database.admin.put(
        [UInt8](repeating: UInt8(value), count: size),
        partitionKey: "k",
        to: "events"
      )
    }
    let shard = try await stream.shards()[0].id
    let reader = try await stream.reader(of: shard, after: .trimHorizon)
    var pages: [ShardPage] = []
    pages.append(try await reader.nextPage(maximumRecords: 2))
    for _ in 0..<3 { pages.append(try await reader.nextPage(maximumRecords: 100)) }
    #expect(pages.map(values) == [[1, 2], [3, 4, 5, 6], [7], [8]])
    #expect(pages[1].millisBehindLatest >= 0)
    #expect(pages[3].millisBehindLatest == 0)
    // A page of the first two lags behind by as much as the clock has moved on.
    try await eventually("the first records are some time old") {
      let page = try await stream.reader(of: shard, after: .trimHorizon).nextPage(maximumRecords: 2)
      return page.millisBehindLatest >= 20
    }
  }

  @Test("Reading goes on after a checkpoint, and after an end there is nothing but the end")
  func checkpoints() async throws {
    let (database, stream) = try await makeStream()
    try await put(1...3, in: database)
    let shard = try await stream.shards()[0].id
    let all = try await stream.reader(of: shard, after: .trimHorizon).nextPage(maximumRecords: 10)
    #expect(values(all) == [1, 2, 3])
    let rest = try await stream.reader(of: shard, after: all.records[1].checkpoint).nextPage(
      maximumRecords: 10
    )
    #expect(values(rest) == [3])
    #expect(rest.records[0].sequenceNumber == all.records[2].sequenceNumber)

    let early = try await #require(throws: TidemarkError.self) {
      try await stream.reader(of: shard, after: .shardEnd)
    }
    #expect(early.code == .checkpointOutOfRange)
    let foreign = try await #require(throws: TidemarkError.self) {
      let number = try #require(SequenceNumber("340282366920938463463374607431768211455"))
      return try await stream.reader(of: shard, after: .record(number))
    }
    #expect(foreign.code == .checkpointOutOfRange)
    let unknown = try await #require(throws: TidemarkError.self) {
      try await stream.reader(of: "shardId-x", after: .trimHorizon)
    }
    #expect(unknown.code == .shardNotFound)

    try await database.admin.disable("events")
    for checkpoint in [Checkpoint.shardEnd, .latest, all.records[2].checkpoint] {
      let page = try await stream.reader(of: shard, after: checkpoint).nextPage(maximumRecords: 10)
      #expect(page.records.isEmpty && page.end?.children.isEmpty == true)
    }
  }

  @Test(
    "LATEST leaves out what was committed before and has all that is committed later, also from a transaction that was open"
  )
  func latest() async throws {
    let (database, stream) = try await makeStream()
    try await put(1...2, in: database)
    let shard = try await stream.shards()[0].id
    let reader = try await database.pool.transaction { transaction in
      try await database.admin.put([3], partitionKey: "open", to: "events", using: transaction)
      return try await stream.reader(of: shard, after: .latest)
    }
    // A reader that is opened there later has the same records before it.
    #expect(reader.origin.sequenceNumber != nil)
    let later = try await stream.reader(of: shard, after: reader.origin)
    try await put(4...4, in: database)
    var seen: [Int] = []
    while seen.count < 2 { seen += values(try await reader.nextPage(maximumRecords: 10)) }
    #expect(seen == [3, 4])
    #expect(values(try await later.nextPage(maximumRecords: 10)) == [3, 4])
  }

  @Test("AT_TIMESTAMP starts with the first record that is not older, whether there is one yet or not")
  func atTimestamp() async throws {
    let (database, stream) = try await makeStream()
    try await put(1...4, in: database)
    let shard = try await stream.shards()[0].id
    let all = try await stream.reader(of: shard, after: .trimHorizon).nextPage(maximumRecords: 10)
    for index in 0..<4 {
      let time = all.records[index].approximateCreationTime
      let page = try await stream.reader(of: shard, after: .atTimestamp(time)).nextPage(maximumRecords: 10)
      #expect(values(page) == Array(index + 1...4))
    }
    let long = Timestamp(microsecondsSinceEpoch: 0)
    let whole = try await stream.reader(of: shard, after: .atTimestamp(long)).nextPage(maximumRecords: 10)
    #expect(values(whole) == [1, 2, 3, 4])
    let now = Timestamp(
      microsecondsSinceEpoch: all.records[3].approximateCreationTime.microsecondsSinceEpoch + 1
    )
    let later = try await stream.reader(of: shard, after: .atTimestamp(now))
    try await put(5...5, in: database)
    #expect(values(try await later.nextPage(maximumRecords: 10)) == [5])
  }

  @Test(
    "A split shard ends with its children, which have what comes after; merging them gives one child back"
  )
  func splitAndMerge() async throws {
    let (database, stream) = try await makeStream()
    try await put(1...20, in: database)
    let parent = try await stream.shards()[0]
    let reader = try await stream.reader(of: parent.id, after: .trimHorizon)
    #expect(values(try await reader.nextPage(maximumRecords: 100)) == Array(1...20))
    let children = try await database.admin.split(parent.id, of: "events")
    let end = try #require(try await reader.nextPage(maximumRecords: 100).end)
    #expect(end.children.map(\.id) == children)
    #expect(end.children.map(\.parentIDs) == [[parent.id], [parent.id]])
    #expect(end.children[0].hashRange == Shard.HashRange(start: 0, end: UInt128.max / 2))
    #expect(end.children[1].hashRange == Shard.HashRange(start: UInt128.max / 2 + 1, end: .max))

    try await put(21...40, in: database)
    let closed = try #require(try await stream.shards().first)
    let ending = try #require(closed.endingSequenceNumber)
    #expect(end.children.allSatisfy { ($0.startingSequenceNumber ?? 0) > ending })
    var seen: [Int] = []
    for child in children {
      let page = try await stream.reader(of: child, after: .trimHorizon).nextPage(maximumRecords: 100)
      #expect(!page.records.isEmpty)
      seen += values(page)
    }
    #expect(seen.sorted() == Array(21...40))

    let merged = try await database.admin.merge(children[1], children[0], of: "events")
    for child in children {
      let page = try await stream.reader(of: child, after: .latest).nextPage(maximumRecords: 100)
      #expect(page.records.isEmpty && page.end?.children.map(\.id) == [merged])
    }
    let last = try #require(try await stream.shards().last)
    #expect(last.hashRange == .all)
    #expect(Set(last.parentIDs) == Set(children))
  }

  @Test("A split that cannot be, and a merge of shards that do not touch, are refused")
  func badTopology() async throws {
    let (database, stream) = try await makeStream(shardCount: 3)
    let shards = try await stream.shards().map(\.id)
    let hash = try #require(try await stream.shards()[0].hashRange).end
    let refused: [(TidemarkError.Code, @Sendable () async throws -> Void)] = [
      (
        .invalidConfiguration,
        { @Sendable in _ = try await database.admin.merge(shards[0], shards[2], of: "events") }
      ),
      (
        .invalidConfiguration,
        { @Sendable in _ = try await database.admin.merge(shards[0], shards[0], of: "events") }
      ),
      (
        .invalidConfiguration,
        { @Sendable in _ = try await database.admin.split(shards[1], of: "events", at: hash) }
      ),
      (
        .invalidConfiguration,
        { @Sendable in _ = try await database.admin.split(shards[1], of: "events", at: hash + 1) }
      ),
      (.shardNotFound, { @Sendable in _ = try await database.admin.split("shardId-x", of: "events") }),
    ]
    for (code, call) in refused {
      let error = try await #require(throws: TidemarkError.self) { try await call() }
      #expect(error.code == code)
    }
    #expect(try await stream.shards().count == 3)
    try await database.admin.split(shards[1], of: "events", at: hash + 1 + (5 << 96))
    let closed = try await #require(throws: TidemarkError.self) {
      try await database.admin.split(shards[1], of: "events")
    }
    #expect(closed.code == .invalidConfiguration)
    #expect(try await stream.shards()[4].hashRange?.start == hash + 1 + (5 << 96))
  }

  @Test("A reader that has caught up waits for its own shard's end or records, and for nobody else's")
  func waitingForNews() async throws {
    let (database, stream) = try await makeStream(shardCount: 2)
    let shards = try await stream.shards().map(\.id)
    try await pumping(stream) {
      try await eventually("the pump runs") {
        try await stream.identified().heads.isPumped
      }
      let split = try await stream.reader(of: shards[0], after: .trimHorizon)
      let other = try await stream.reader(of: shards[1], after: .trimHorizon)
      for reader in [split, other] {
        #expect(try await reader.nextPage(maximumRecords: 10).records.isEmpty)
      }
      let woken = SharedCounter()
      async let waiting: Void = {
        try await other.waitForNews()
        woken.add()
      }()
      try await database.admin.split(shards[0], of: "events")
      try await split.waitForNews()
      #expect(try await split.nextPage(maximumRecords: 10).end != nil)
      #expect(woken.value == 0)
      try await put(1...8, in: database)
      try await waiting
      #expect(try await !other.nextPage(maximumRecords: 10).records.isEmpty)
    }
  }

  @Test("Readers that wait get what is new of their shards from the pump, and read the rest by themselves")
  func freshRecords() async throws {
    let (database, stream) = try await makeStream(shardCount: 2)
    let seen = SeenValues()
    try await pumping(stream) {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for shard in try await stream.shards().map(\.id) {
          group.addTask {
            let reader = try await stream.reader(of: shard, after: .trimHorizon)
            while true {
              try await reader.waitForNews()
              let page = try await reader.nextPage(maximumRecords: 4)
              #expect(page.records.count <= 4)
              await seen.add(values(page), of: shard)
              if page.end != nil { return }
            }
          }
        }
        var last = 0
        // Of some rounds there is more than a reader asks for at once.
        for size in [1, 2, 30, 1, 3, 40, 2, 1, 1, 60, 5] {
          let round = last + 1...last + size
          last += size
          try await put(round, in: database)
          try await eventually("the round is read") { await seen.count >= last }
        }
        try await database.admin.disable("events")
        try await group.waitForAll()
        let all = await seen.byShard
        #expect(all.count == 2)
        for values in all.values { #expect(values == values.sorted()) }
        #expect(all.values.joined().sorted() == Array(1...last))
      }
    }
  }

  @Test("A put, a captured write and a split ring the stream's bell, at once, and nobody else's")
  func bells() async throws {
    let (database, stream) = try await makeStream()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item")
    let item = try await database.stream("item").identified().id
    let events = try await stream.identified().id
    let shard = try await stream.shards()[0].id
    @Sendable func rung(by body: () async throws -> Void) async throws -> [Int] {
      let statement: PQStatement = "SELECT tidemark.bells()"
      let before = try await database.pool.query(statement)[0].decode([Int64].self)
      try await body()
      let after = try await database.pool.query(statement)[0].decode([Int64].self)
      return after.indices.filter { after[$0] != before[$0] }
    }
    #expect(try await rung { try await put(1...1, in: database) } == [Int(events)])
    #expect(try await rung { try await database.run("INSERT INTO item VALUES (1)") } == [Int(item)])
    #expect(try await rung { try await database.admin.split(shard, of: "events") } == [Int(events)])
    #expect(try await rung { _ = try await database.admin.list() } == [])
  }

  @Test("What is committed long after it was written is read, also where a pump has looked in between")
  func lateCommit() async throws {
    let (database, stream) = try await makeStream(shardCount: 1)
    let shard = try await stream.shards()[0].id
    let seen = SeenValues()
    try await pumping(stream) {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          let reader = try await stream.reader(of: shard, after: .trimHorizon)
          while true {
            try await reader.waitForNews()
            await seen.add(values(try await reader.nextPage(maximumRecords: 10)), of: shard)
          }
        }
        defer { group.cancelAll() }
        let writer = try StreamDatabase.makePool(database.url, connections: 1)
        try await writer.transaction { transaction in
          _ = try await transaction.query("SELECT tidemark.put('events', 'late', '\\x01')")
          for value in 2...4 {
            try await put(value...value, in: database)
            try await eventually(within: .seconds(20), "what others write meanwhile is read") {
              await seen.byShard[shard]?.last == value
            }
          }
        }
        await writer.close()
        try await eventually(within: .seconds(20), "what was written first is read") {
          await seen.byShard[shard] == [2, 3, 4, 1]
        }
      }
    }
  }

  @Test("A reader that waits for news when the pump ends looks for itself from then on")
  func endOfPump() async {
    let heads = StreamHeads()
    heads.pumpStarted()
    let mark = heads.mark(of: 0)
    async let news = heads.news(of: 0, since: mark)
    heads.pumpEnded()
    _ = await news
    #expect(heads.mark(of: 0) != mark && !heads.isPumped)
  }

  @Test(
    "A waiting reader sees a new record and then a split, with and without a pump",
    arguments: [false, true]
  )
  func waking(isPumped: Bool) async throws {
    let (database, stream) = try await makeStream()
    let shard = try await stream.shards()[0].id
    @Sendable func check() async throws {
      let reader = try await stream.reader(of: shard, after: .trimHorizon)
      // On a busy machine a page may be empty before the writer has had its turn.
      @Sendable func next() async throws -> ShardPage {
        while true {
          let page = try await reader.nextPage(maximumRecords: 10)
          if !page.records.isEmpty || page.end != nil { return page }
        }
      }
      async let first = next()
      try await put(1...1, in: database)
      #expect(values(try await first) == [1])
      async let second = next()
      try await database.admin.split(shard, of: "events")
      let page = try await second
      #expect(page.end?.children.count == 2)
    }
    if isPumped { try await pumping(stream) { try await check() } } else { try await check() }
  }

  @Test(
    "Retention drops whole partitions; a reader that comes too late gets an error, and TRIM_HORIZON goes on with what is left"
  )
  func retention() async throws {
    let (database, stream) = try await makeStream(shardCount: 2)
    let shards = try await stream.shards()
    // The interval that one partition covers, made short, so that there are several.
    try await database.run("UPDATE tidemark.stream SET partition_interval = '1 millisecond'")
    let key = try #require(
      try await database.text(
        """
        SELECT 'key ' || i FROM generate_series(1, 100) AS i
        WHERE tidemark.partition_hash('key ' || i) < 2147483648 LIMIT 1
        """
      )
    )
    var positions: [Checkpoint] = []
    let reader = try await stream.reader(of: shards[0].id, after: .trimHorizon)
    for value in 1...3 {
      try await database.admin.put([UInt8(value)], partitionKey: key, to: "events")
      let page = try await reader.nextPage(maximumRecords: 10)
      #expect(values(page) == [value])
      positions += page.records.map(\.checkpoint)
    }
    let behind = try await stream.reader(of: shards[0].id, after: positions[0])
    let ahead = try await stream.reader(of: shards[0].id, after: positions[1])
    let unborn = try await stream.reader(of: shards[0].id, after: .trimHorizon)
    let untouched = try await stream.reader(of: shards[1].id, after: .record(SequenceNumber(1)))
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_partition") == 3)

    // As if the first two had been closed two retentions ago.
    try await database.run(
      "UPDATE tidemark.log_partition SET closed_at = closed_at - interval '4 s' WHERE partition_ordinal <= 2"
    )
    try await database.admin.maintain()
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_partition") == 1)
    #expect(try await database.number("SELECT count(*) FROM pg_class WHERE relname ~ '^log_1_[0-9]+$'") == 1)

    let error = try await #require(throws: TidemarkError.self) {
      try await behind.nextPage(maximumRecords: 10)
    }
    #expect(error.code == .recordsTrimmed)
    #expect(values(try await ahead.nextPage(maximumRecords: 10)) == [3])
    // Whoever began at the oldest record has missed it all the same.
    let missed = try await #require(throws: TidemarkError.self) {
      try await unborn.nextPage(maximumRecords: 10)
    }
    #expect(missed.code == .recordsTrimmed)
    // Nothing of this shard was dropped.
    #expect(try await untouched.nextPage(maximumRecords: 10).records.isEmpty)
    let late = try await #require(throws: TidemarkError.self) {
      try await stream.reader(of: shards[0].id, after: positions[0])
    }
    #expect(late.code == .recordsTrimmed)
    let fromStart = try await stream.reader(of: shards[0].id, after: .trimHorizon)
    #expect(values(try await fromStart.nextPage(maximumRecords: 10)) == [3])
    // The numbers go on where they were, also when the partition in use is dropped.
    try await database.run(
      """
      UPDATE tidemark.step SET moved_at = moved_at - interval '4 s';
      UPDATE tidemark.stream SET written_at = written_at - interval '4 s'
      """
    )
    try await database.admin.maintain()
    #expect(try await database.number("SELECT count(*) FROM tidemark.log_partition") == 0)
    try await database.admin.put([4], partitionKey: key, to: "events")
    let next = try await stream.reader(of: shards[0].id, after: .trimHorizon).nextPage(maximumRecords: 10)
    #expect(values(next) == [4])
    #expect(next.records.allSatisfy { $0.checkpoint > positions[2] })
  }

  @Test("Closed shards and disabled streams go when all their records are older than retention")
  func cleaningUp() async throws {
    let (database, stream) = try await makeStream()
    try await put(1...3, in: database)
    let parent = try await stream.shards()[0].id
    #expect(try await stream.readAll().count == 3)
    try await database.admin.split(parent, of: "events")
    let reader = try await stream.reader(of: parent, after: .trimHorizon)
    try await database.admin.maintain()
    #expect(try await stream.shards().count == 3)
    try await eventually("the parent is listed no more") {
      try await database.admin.maintain()
      return try await stream.shards().count == 2
    }
    let error = try await #require(throws: TidemarkError.self) {
      try await reader.nextPage(maximumRecords: 1)
    }
    #expect(error.code == .shardNotFound)
    try await database.admin.disable("events")
    #expect(try await database.admin.list().count == 1)
    try await eventually("the stream is listed no more") {
      try await database.admin.maintain()
      return try await database.admin.list().isEmpty
    }
    #expect(try await database.number("SELECT count(*) FROM pg_class WHERE relname ~ '^(log|inbox)_1'") == 0)
    let gone = try await #require(throws: TidemarkError.self) { try await stream.shards() }
    #expect(gone.code == .streamNotFound)
  }
}

private actor SeenValues {
  private(set) var byShard: [String: [Int]] = [:]
  var count: Int { byShard.values.joined().count }

  func add(_ values: [Int], of shard: String) { byShard[shard, default: []] += values }
}
