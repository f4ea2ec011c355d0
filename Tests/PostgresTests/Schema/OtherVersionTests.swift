import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres

@testable import TidemarkStreams

@Suite("A schema that is migrated under a program", .sharesMachine)
struct OtherVersionTests {
  /// What becomes of a schema while a program runs.
  enum Fate: CaseIterable {
    case takenBack, dropped, replaced

    /// What there is to say then.
    func sentence(of schema: TidemarkSchema) -> String {
      self == .replaced
        ? "The schema \(schema.name) is version 2; this program needs 1."
        : "The database has no schema \(schema.name)."
    }

    var advice: String { self == .replaced ? "Update the program." : "Run: tidemark migrate" }
  }

  /// - Parameter removal: what another version takes away.
  private func meet(
    _ fate: Fate,
    _ schema: TidemarkSchema,
    in database: StreamDatabase,
    removal: String
  ) async throws {
    switch fate {
    case .takenBack:
      try await Migrator(database.pool, schema: schema, logger: StreamDatabase.logger).migrate(to: 0)
    case .dropped:
      try await retryingConflicts { try await database.run("DROP SCHEMA \(schema.name) CASCADE") }
    case .replaced:
      let next = schema.followed(byUp: removal, oldestProgram: 2)
      try await Migrator(database.pool, schema: next, logger: StreamDatabase.logger).migrate()
    }
  }

  private func meetStreams(_ fate: Fate, in database: StreamDatabase) async throws {
    if fate == .takenBack {
      for stream in try await database.admin.list() { try await database.admin.disable(stream.fullName) }
    }
    try await meet(
      fate,
      .streams,
      in: database,
      removal: """
        ALTER TABLE tidemark.stream RENAME COLUMN uid TO identity;
        ALTER TABLE tidemark.shard RENAME TO part;
        ALTER FUNCTION tidemark.advance RENAME TO proceed;
        ALTER FUNCTION tidemark.find_stream RENAME TO look_up;
        ALTER FUNCTION tidemark.put RENAME TO add;
        """
    )
  }

  private func database() async throws -> StreamDatabase {
    let database = try await StreamDatabase.make()
    try await database.run("CREATE TABLE item (id int PRIMARY KEY, n int)")
    try await database.admin.enable(table: "item")
    try await database.run("INSERT INTO item VALUES (1, 1)")
    return database
  }

  @Test(
    "Whoever reads, puts or looks gets an error that says the version, and what to do",
    arguments: Fate.allCases
  )
  func readers(fate: Fate) async throws {
    let database = try await database()
    let stream = try database.stream("item")
    #expect(try await stream.readAll().count == 1)
    let shard = try #require(try await stream.shards().first).id
    let reader = try await stream.reader(of: shard, after: .trimHorizon)
    try await meetStreams(fate, in: database)
    let calls: [(String, () async throws -> Void)] = [
      ("page", { while try await reader.nextPage(maximumRecords: 10).end == nil {} }),
      ("shards", { _ = try await stream.shards() }),
      ("reader", { _ = try await stream.reader(of: shard, after: .trimHorizon) }),
      ("sequencing", { try await stream.sequenceCommitted() }),
      ("run", { try await stream.run() }),
      ("describe", { _ = try await database.admin.describe("item") }),
      ("put", { _ = try await database.admin.put([], partitionKey: "k", to: "item") }),
    ]
    for (name, call) in calls {
      let error = await #expect(throws: TidemarkError.self, "\(name)") { try await call() }
      #expect(error?.code == .schemaMismatch, "\(name): \(String(describing: error))")
      #expect(error?.message == fate.sentence(of: .streams), "\(name)")
      #expect(error?.advice == fate.advice, "\(name)")
    }
  }

  @Test("A worker ends with the version of the leases", arguments: Fate.allCases)
  func leases(fate: Fate) async throws {
    let database = try await database()
    let log = DeliveryLog()
    let worker = try log.worker(of: database)
    let error = await #expect(throws: TidemarkError.self) {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.run() }
        try await eventually("the worker works") { log.count == 1 }
        try await meet(
          fate,
          .leases,
          in: database,
          removal: "ALTER TABLE tidemark_leases.worker RENAME COLUMN heartbeat_at TO seen_at"
        )
        try await group.waitForAll()
      }
    }
    #expect(error?.code == .schemaMismatch)
    #expect(error?.message == fate.sentence(of: .leases))
    #expect(error?.advice == fate.advice)
  }

  @Test("A worker logs the version of its stream, and goes on once that is mended", arguments: Fate.allCases)
  func streams(fate: Fate) async throws {
    let database = try await database()
    let (log, deliveries) = (CollectedLog(), DeliveryLog())
    let worker = try deliveries.worker(of: database, logger: log.logger)
    try await running(worker) {
      try await eventually("the worker works") { deliveries.count == 1 }
      try await meetStreams(fate, in: database)
      try await eventually("it says what is wrong") {
        log.lines.contains { $0.contains("\(fate.sentence(of: .streams)) \(fate.advice)") }
      }
      #expect(!log.lines.contains { $0.contains("lacks tables or functions") }, "\(log.lines)")
      if fate == .replaced {
        try await database.run(
          """
          ALTER TABLE tidemark.stream RENAME COLUMN identity TO uid;
          ALTER TABLE tidemark.part RENAME TO shard;
          ALTER FUNCTION tidemark.proceed RENAME TO advance;
          ALTER FUNCTION tidemark.look_up RENAME TO find_stream;
          DELETE FROM tidemark.migration WHERE version = 2;
          INSERT INTO item VALUES (2, 2)
          """
        )
        try await eventually("the worker goes on") { deliveries.count == 2 }
      }
    }
  }
}
