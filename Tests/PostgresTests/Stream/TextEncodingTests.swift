import LibPQ
import ServiceLifecycle
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("Text that is no UTF-8", .sharesMachine)
struct TextEncodingTests {
  private struct Row: Decodable {
    var id: Int
    var note: String?
  }

  /// Handles the notes of records, and has handled those before the one that it cannot decode.
  private struct Reader: RecordProcessor {
    var namesRecord: Bool
    var handled: PostgresWorkerTests.Handled

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      let changes = batch.compactMap(\.change)
      if !namesRecord { for change in changes { _ = try change.newImage(as: Row.self) } }
      for (record, change) in zip(batch, changes) {
        do {
          _ = try change.newImage(as: Row.self)
        } catch {
          throw RecordFailure(record, underlying: error)
        }
        handled.add("", change)
      }
      try await checkpointer.checkpoint()
    }
  }

  private func run(
    _ database: StreamDatabase,
    as role: String? = nil,
    _ policy: FailurePolicy,
    from position: InitialPosition = .trimHorizon,
    namesRecord: Bool = false,
    until isDone: @Sendable @escaping ([Int64]) async throws -> Bool
  ) async throws -> [Int64] {
    let handled = PostgresWorkerTests.Handled()
    var configuration = WorkerConfiguration()
    configuration.failurePolicy = policy
    configuration.failurePolicy.maximumAttempts = 2
    configuration.failurePolicy.backoff.initial = .milliseconds(5)
    configuration.reading.initialPosition = position
    let worker = try Worker(
      application: "test",
      stream: "orders",
      database: role ?? database.url,
      configuration: configuration,
      logger: StreamDatabase.logger,
      processor: { _ in Reader(namesRecord: namesRecord, handled: handled) }
    )
    let group = ServiceGroup(services: [worker], logger: StreamDatabase.logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      try await eventually("all is handled or given up") { try await isDone(handled.ids) }
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
    return handled.ids
  }

  /// Three orders, the second of which has a note in Latin 1.
  private func orders(_ capture: StreamCapture) async throws -> StreamDatabase {
    let database = try await StreamDatabase.make(encoding: "SQL_ASCII")
    try await database.run("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    try await database.admin.enable(table: "orders", capture: capture, shardCount: 1)
    try await database.run(#"INSERT INTO orders VALUES (1, 'ok'), (2, E'bad\351'), (3, 'after')"#)
    return database
  }

  private func expectDeadLetter(_ database: StreamDatabase) async throws {
    let letters = try await database.pool.query(
      "SELECT keys::text, new_image::text, attempts, reason FROM tidemark_leases.dead_letter"
    )
    #expect(letters.count == 1)
    let (keys, image, attempts, reason) = try letters[0].decode((String, String, Int32, String).self)
    #expect(keys == #"{"id":2}"# && image == #"{"id":2,"note":"bad\udce9"}"# && attempts == 2)
    #expect(reason.contains("note") && reason.contains("no Unicode"))
  }

  @Test(
    "is a record's problem: the others are handled, and it is a dead letter once its attempts are exhausted",
    arguments: [StreamCapture.trigger, .logical],
    [true, false]
  )
  func deadLetter(capture: StreamCapture, namesRecord: Bool) async throws {
    let database = try await orders(capture)
    let ids = try await run(database, FailurePolicy(bisectsBatch: !namesRecord), namesRecord: namesRecord) {
      $0.contains(3)
    }
    #expect(ids == [1, 3])
    try await expectDeadLetter(database)
    #expect(try await database.admin.describe("orders").captureFailure == nil)
  }

  @Test(
    "stops the lease at its record where the policy says so",
    arguments: [StreamCapture.trigger, .logical]
  )
  func stop(capture: StreamCapture) async throws {
    let database = try await orders(capture)
    let ids = try await run(database, FailurePolicy(bisectsBatch: true, whenExhausted: .stop)) { _ in
      try await database.number(
        "SELECT count(*) FROM tidemark_leases.lease WHERE stopped_reason LIKE '%no Unicode%'"
      ) == 1
    }
    #expect(ids == [1])
    let records = try await database.stream("orders").readAll()
    #expect(
      try await database.text("SELECT checkpoint FROM tidemark_leases.lease")
        == records[0].sequenceNumber.description
    )
  }

  @Test("is a record's problem in a snapshot, too, for a worker with a consumer's rights")
  func snapshot() async throws {
    let database = try await StreamDatabase.make(encoding: "SQL_ASCII")
    try await database.run(
      #"""
      CREATE TABLE orders (id int PRIMARY KEY, note text);
      INSERT INTO orders VALUES (1, 'ok'), (2, E'bad\351'), (3, 'after')
      """#
    )
    try await database.admin.enable(table: "orders", shardCount: 1)
    let roles = StreamRoles(database: database)
    try await roles.create("consumer")
    try await database.admin.grant(.consumer, to: roles.name("consumer"))
    try await database.leases().grant(.consumer, to: roles.name("consumer"))
    try await database.run("GRANT SELECT ON orders TO \(roles.name("consumer"))")
    let ids = try await run(
      database,
      as: roles.url("consumer"),
      FailurePolicy(),
      from: .snapshot,
      namesRecord: true
    ) { $0.contains(3) }
    #expect(ids == [1, 3])
    try await expectDeadLetter(database)
    try await roles.drop("consumer")
  }

  @Test(
    "is only where it is: keys, old images and the keys of records that were put are told apart, and all else is read",
    arguments: [StreamCapture.trigger, .logical]
  )
  func parts(capture: StreamCapture) async throws {
    let database = try await StreamDatabase.make(encoding: "SQL_ASCII")
    try await database.run("CREATE TABLE item (id text PRIMARY KEY, note text)")
    try await database.admin.enable(table: "item", capture: capture, shardCount: 1)
    try await database.run(
      #"""
      INSERT INTO item VALUES (E'k\351', 'é'), (E'k\350', E'\351');
      UPDATE item SET note = 'better' WHERE id = E'k\350'; TRUNCATE item
      """#
    )
    let records = try await database.stream("item").readAll(maximumRecords: 2)
    let (one, other) = (#"{"id":"k\udce9"}"#, #"{"id":"k\udce8"}"#)
    #expect(records.prefix(3).map(\.partitionKey) == [one, other, other])
    #expect(Set(records.dropFirst(3).map(\.partitionKey)) == [one, other])
    struct Key: Decodable { var id: String }
    struct Note: Decodable { var note: String }
    let changes = records.compactMap(\.change)
    for change in changes { #expect(throws: DecodingError.self) { try change.keys(as: Key.self) } }
    #expect(try changes[0].newImage(as: Note.self)?.note == "é")
    #expect(throws: DecodingError.self) { try changes[1].newImage(as: Note.self) }
    #expect(throws: DecodingError.self) { try changes[2].oldImage(as: Note.self) }
    #expect(try changes[2].newImage(as: Note.self)?.note == "better")
    #expect(Array(changes[1].keys.bytes) == Array(#"{"id":"k"#.utf8) + [0xe8] + Array(#""}"#.utf8))
  }

  @Test("may be the key of a record that was put, whose data are as they were")
  func putKeys() async throws {
    let database = try await StreamDatabase.make(encoding: "SQL_ASCII")
    try await database.admin.create("clicks", shardCount: 1)
    try await database.run(
      #"""
      SELECT tidemark.put('clicks', 'a', '1'), tidemark.put('clicks', E'k\351', '\x00ff'),
        tidemark.put('clicks', E'k\350', '2'), tidemark.put('clicks', 'é', '3')
      """#
    )
    let records = try await database.stream("clicks").readAll()
    #expect(records.map(\.partitionKey) == ["a", #"k\udce9"#, #"k\udce8"#, "é"])
    #expect(records.map { $0.data.map { Array($0) } } == [[0x31], [0, 0xff], [0x32], [0x33]])
  }

  @Test("comes page by page like all else, and none of a page is left out")
  func manyPages() async throws {
    let database = try await StreamDatabase.make(encoding: "SQL_ASCII")
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, note text)")
    try await database.admin.enable(table: "item", shardCount: 1)
    try await database.run(
      #"INSERT INTO item SELECT i, CASE WHEN i % 7 = 0 THEN E'\351' ELSE 'é' END FROM generate_series(1, 500) i"#
    )
    let records = try await database.stream("item").readAll(maximumRecords: 30)
    struct Note: Decodable { var note: String }
    #expect(records.map(\.partitionKey) == (1...500).map { #"{"id":\#($0)}"# })
    for (index, record) in records.enumerated() {
      let note = try? record.change?.newImage(as: Note.self)?.note
      #expect(note == ((index + 1) % 7 == 0 ? nil : "é"))
    }
  }

  /// A database that knows what its bytes mean, and a character of it that UTF-8 has not.
  struct Encoding: Sendable, CustomTestStringConvertible {
    var name: String
    var good: String
    var bad: String?
    /// What is in the image's text for both.
    var text: String
    var testDescription: String { name }
  }

  @Test(
    "is a character that the database's encoding has and UTF-8 has not; what both have is read, and captured alike",
    arguments: [
      Encoding(name: "LATIN1", good: "'größe ' || chr(129)", text: "größe \u{81}"),
      Encoding(name: "WIN1252", good: "'größe € '", bad: "'Ã' || chr(129)", text: #"größe € Ã\udcff\udc81"#),
      Encoding(
        name: "EUC_KR",
        good: "'한글 '",
        bad: #"'é'::text || convert_from('\xc9a1', 'EUC_KR') || '글'"#.replacing("é", with: "한"),
        text: #"한글 한\udcff\udcc9\udcff\udca1글"#
      ),
      Encoding(name: "UTF8", good: "'größe 한글 😀'", text: "größe 한글 😀"),
    ]
  )
  func otherEncodings(encoding: Encoding) async throws {
    let database = try await StreamDatabase.make(encoding: encoding.name)
    let name = encoding.name == "EUC_KR" ? "한" : "größe"
    var summaries: [[String]] = []
    try await database.run("CREATE TYPE pair AS (\"\(name)\" text)")
    for capture in [StreamCapture.trigger, .logical] {
      try await database.run(
        "CREATE TABLE \(capture) (\"\(name)\" text PRIMARY KEY, note text, other text, pair pair)"
      )
      try await database.admin.enable(table: "\(capture)", capture: capture, shardCount: 1)
      let value = [encoding.good, encoding.bad].compactMap { $0 }.joined(separator: " || ")
      try await database.run(
        """
        INSERT INTO \(capture) VALUES ('\(name)', 'ok', \(encoding.good), NULL), ('2', \(value), \(encoding.good), ROW(\(value)));
        UPDATE \(capture) SET "\(name)" = \(value) WHERE note = 'ok'; TRUNCATE \(capture)
        """
      )
      let records = try await database.stream("\(capture)").readAll()
      try #require(records.count == 6)
      struct Other: Decodable { var other: String }
      struct Note: Decodable { var note: String }
      let change = try #require(records[1].change)
      #expect(change.newImage?.description.contains(#""note":"\#(encoding.text)""#) == true)
      #expect(change.newImage?.description.contains(#""pair":{"\#(name)":"\#(encoding.text)"}"#) == true)
      let good = try #require(try await database.text("SELECT \(encoding.good)"))
      #expect(try change.newImage(as: Other.self)?.other == good)
      if encoding.bad == nil {
        #expect(try change.newImage(as: Note.self)?.note == encoding.text)
      } else {
        #expect(throws: DecodingError.self) { try change.newImage(as: Note.self) }
      }
      #expect(records[0].partitionKey == #"{"\#(name)":"\#(name)"}"#)
      summaries.append(records.map(\.summary))
    }
    #expect(summaries[0].sorted() == summaries[1].sorted())
    #expect(summaries[0].prefix(4) == summaries[1].prefix(4))
  }

  @Test(
    "keeps no record from the dead-letter queue, and no lease from being stopped, where the leases' database lacks it"
  )
  func lackingLeases() async throws {
    let database = try await StreamDatabase.make(encoding: "LATIN1")
    let configuration = try PQConfiguration(url: database.url)
    let store = PostgresLeaseStore(configuration, pool: database.pool, logger: StreamDatabase.logger)
    let scope = LeaseScope(application: "application")
    let worker = try await store.register(
      WorkerRegistration(
        scope: scope,
        workerID: "worker",
        host: "host",
        processID: 1,
        failoverInterval: .seconds(60)
      )
    )
    _ = try await store.createLeases([NewLease(shard: Shard(id: "a"), checkpoint: .trimHorizon)], in: scope)
    let steps = [Assignment.assign(shardID: "a", to: worker)]
    _ = try await store.plan(as: worker, in: scope, handoffTimeout: .seconds(60)) { _ in steps }
    let grant = LeaseGrant(scope: scope, shardID: "a", owner: worker, epoch: Epoch(1))
    let record = Record(
      sequenceNumber: 1,
      partitionKey: #"{"id":"😀"}"#,
      approximateCreationTime: Timestamp(millisecondsSinceEpoch: 0),
      body: .change(Change(eventName: .insert, keys: Image(#"{"id":"😀"}"#), newImage: Image(#"{"n":"é…"}"#)))
    )
    let letter = DeadLetter(record: record, attempts: 1, reason: "There is no key “größe”.")
    let write = CheckpointWrite(grant: grant, checkpoint: .record(1))
    #expect(try await store.deadLetter([letter], passing: write) == .accepted)
    let row = try await database.pool.query(
      "SELECT partition_key, keys::text, new_image::text, reason FROM tidemark_leases.dead_letter"
    )[0].decode((String, String, String, String).self)
    #expect(row.0 == #"{"id":"\ud83d\ude00"}"# && row.1 == row.0 && row.2 == #"{"n":"\u00e9\u2026"}"#)
    #expect(row.3 == #"There is no key \u201cgr\u00f6\u00dfe\u201d."#)
    #expect(try await store.stop(grant, reason: "größe") == .accepted)
    #expect(try await store.lease("a", in: scope)?.stoppedReason == "größe")
  }
}
