import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("A record that is put", .sharesMachine)
struct PutTests {
  @Test(
    "with an idempotency token is there once, whatever became of the first attempt",
    arguments: DyingSessions.Death.allCases
  )
  func lostAnswer(death: DyingSessions.Death) async throws {
    try await DyingSessions.with { sessions in
      try await Migrator.migrateUnderTest(sessions.pool, logger: LeaseDatabase.logger)
      let admin = PostgresStreamAdmin(sessions.pool)
      try await admin.create("events", shardCount: 1)
      try await sessions.prepare("INSERT ON tidemark.inbox_1")
      for token in [nil, "token"] {
        let victim = PostgresStreamAdmin(
          PQPool(try sessions.victim(death), maximumConnections: 1, logger: LeaseDatabase.logger)
        )
        let put = Task { try await victim.put([1], partitionKey: "k", to: "events", idempotencyToken: token) }
        try await sessions.waitForCommit()
        try await sessions.kill()
        let error = try await #require(throws: TidemarkError.self) { _ = try await put.value }
        #expect(error.code == .outcomeUnknown)
        #expect(error.advice?.contains(token == nil ? "twice" : "the same idempotency token") == true)
        let isNew = try await admin.put([1], partitionKey: "k", to: "events", idempotencyToken: token)
        #expect(isNew == (token == nil || death == .beforeCommit))
      }
      let stream = PostgresStream("events", pool: sessions.pool, logger: LeaseDatabase.logger)
      // Once without a token and lost, or twice; once with it.
      #expect(try await stream.readAll().count == (death == .beforeCommit ? 2 : 3))
    }
  }

  @Test(
    "with a token that an open transaction has waits for that, and is appended if it is undone",
    arguments: [true, false]
  )
  func concurrent(isUndone: Bool) async throws {
    struct Undone: Error {}
    let database = try await StreamDatabase.make()
    try await database.admin.create("events", shardCount: 1)
    let isAppended = try await withThrowingTaskGroup(of: Bool.self) { group in
      do {
        try await database.pool.transaction { transaction in
          try await database.admin.put(
            [1],
            partitionKey: "k",
            to: "events",
            idempotencyToken: "t",
            using: transaction
          )
          group.addTask {
            try await database.admin.put([2], partitionKey: "k", to: "events", idempotencyToken: "t")
          }
          try await eventually("the second waits") {
            try await database.number(
              "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ) == 1
          }
          if isUndone { throw Undone() }
        }
      } catch is Undone {}
      return try await group.next()
    }
    #expect(isAppended == isUndone)
    let records = try await database.stream("events").readAll()
    #expect(records.compactMap { $0.data.map(Array.init) } == [[isUndone ? 2 : 1]])
  }

  @Test(
    "with a token that was used longer ago than the retention is another record, and streams share no tokens"
  )
  func oldTokens() async throws {
    let database = try await StreamDatabase.make()
    for stream in ["events", "others"] {
      try await database.admin.create(stream, retention: .seconds(60), shardCount: 1)
    }
    for stream in ["events", "others"] {
      #expect(try await database.admin.put([1], partitionKey: "k", to: stream, idempotencyToken: "t"))
    }
    try await database.admin.maintain()
    #expect(try await !database.admin.put([1], partitionKey: "k", to: "events", idempotencyToken: "t"))
    try await database.run(
      "UPDATE tidemark.put_token SET put_at = put_at - interval '61 seconds' WHERE stream_id = 1"
    )
    try await database.admin.maintain()
    #expect(try await database.admin.put([1], partitionKey: "k", to: "events", idempotencyToken: "t"))
    #expect(try await !database.admin.put([1], partitionKey: "k", to: "others", idempotencyToken: "t"))
    // Without anybody who looks after the stream, too.
    try await database.run("UPDATE tidemark.put_token SET put_at = put_at - interval '61 seconds'")
    for isNew in [true, false] {
      #expect(
        try await database.admin.put([1], partitionKey: "k", to: "others", idempotencyToken: "t") == isNew
      )
    }
  }

  @Test("with an empty or an endless token is refused", arguments: [0, 257])
  func badTokens(length: Int) async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("events", shardCount: 1)
    let error = try await #require(throws: TidemarkError.self) {
      try await database.admin.put(
        [1],
        partitionKey: "k",
        to: "events",
        idempotencyToken: String(repeating: "x", count: length)
      )
    }
    #expect(error.code == .invalidConfiguration && error.message.contains("\(length) bytes"))
  }
}
