import LibPQ
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

@Suite("A processor's transaction whose COMMIT is not answered", .sharesMachine)
struct UnknownCommitTests {
  /// What becomes of the first transaction.
  enum Fate: CaseIterable {
    case undone, done
    /// It is done after all, when the next attempt has begun: its client had only lost sight of it.
    case doneLate

    var death: DyingSessions.Death { self == .undone ? .beforeCommit : .afterCommit }
  }

  /// The connection of the first transaction, for the test to cut.
  private final class First: Sendable {
    private let state = Mutex<(isTaken: Bool, connection: PQConnection?)>((false, nil))

    func take() -> Bool {
      state.withLock { state in
        defer { state.isTaken = true }
        return !state.isTaken
      }
    }

    func set(_ connection: PQConnection) { state.withLock { $0.connection = connection } }
    func cut() async { await state.withLock { $0.connection }?.close() }
  }

  /// Adds up in the transaction that moves the checkpoint.
  private struct Adder: RecordProcessor {
    var first: First
    var victim: PQConfiguration
    var calm: PQPool

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      if first.take() {
        let connection = try await connect(victim)
        first.set(connection)
        try await connection.transaction { try await add(batch, checkpointer, in: $0) }
      } else {
        try await calm.transaction { try await add(batch, checkpointer, in: $0) }
      }
    }

    private func add(
      _ batch: RecordBatch,
      _ checkpointer: Checkpointer,
      in transaction: PQTransaction
    ) async throws {
      try await transaction.execute("INSERT INTO effect SELECT unnest(\(batch.map(\.partitionKey)))")
      try await checkpointer.checkpoint(in: transaction)
    }
  }

  @Test("takes effect exactly once", arguments: Fate.allCases)
  func exactlyOnce(fate: Fate) async throws {
    try await DyingSessions.with { sessions in
      let database = StreamDatabase(
        url: sessions.url,
        pool: sessions.pool,
        admin: PostgresStreamAdmin(sessions.pool)
      )
      try await Migrator.migrateUnderTest(sessions.pool, logger: StreamDatabase.logger)
      try await sessions.prepareLeases()
      try await database.run(
        "CREATE TABLE items (id bigint PRIMARY KEY, note text); CREATE TABLE effect (key text)"
      )
      try await database.admin.enable(table: "items", shardCount: 1)
      let (first, victim) = (First(), try sessions.victim(fate.death))
      let calm = try DyingSessions.calm(sessions.url)
      let worker = try Worker(
        application: "test",
        stream: "items",
        database: calm,
        pool: PQPool(calm, logger: StreamDatabase.logger),
        logger: StreamDatabase.logger
      ) { _ in Adder(first: first, victim: victim, calm: sessions.pool) }
      let group = ServiceGroup(services: [worker], logger: StreamDatabase.logger)
      try await database.run("INSERT INTO items SELECT n FROM generate_series(1, 20) n")
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        try await sessions.waitForCommit()
        if fate == .doneLate {
          await first.cut()
          try await eventually("the next attempt waits for the first") {
            try await database.number(
              "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%tidemark_leases.checkpoint(%'"
            ) > 0
          }
        }
        try await sessions.kill()
        try await database.run("INSERT INTO items SELECT n FROM generate_series(21, 40) n")
        try await eventually("everything has taken effect") {
          try await database.number("SELECT count(DISTINCT key) FROM effect") == 40
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
      }
      #expect(try await database.number("SELECT count(*) FROM effect") == 40)
    }
  }
}
