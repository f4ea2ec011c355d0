import ArgumentParser
import BenchmarkSupport
import LibPQ
import Synchronization
import Tidemark
import TidemarkStreams

/// How long it takes until the children of many shards that rotate at once are read.
struct RotationBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotation",
    abstract: "Many shards that rotate at once: until all children are owned and read."
  )

  @Option(help: "How many shards there are.")
  var shards = 4096

  @Option(help: "How often they rotate.")
  var rounds = 3

  private struct Ignoring: RecordProcessor {
    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      try await checkpointer.checkpoint()
    }
  }

  private final class Started: WorkerEvents {
    private let started = Atomic(0)
    var count: Int { started.load(ordering: .relaxed) }
    func leaseStarted(_ shard: ShardContext) { started.add(1, ordering: .relaxed) }
  }

  func run() async throws {
    let settings = ["shared_preload_libraries": "pg_stat_statements"]
    try await BenchmarkDatabase.with(connections: 4, settings: settings) { database in
      try await database.pool.execute("CREATE EXTENSION pg_stat_statements")
      try await PostgresStreamAdmin(database.pool).create("rotating", shardCount: shards)
      let started = Started()
      let worker = try Worker(
        application: "rotation",
        stream: "rotating",
        database: database.url,
        events: started,
        logger: BenchmarkDatabase.logger
      ) { _ in Ignoring() }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.run() }
        try await until("all shards are read") { started.count >= shards }
        try await rotate(database, started)
        group.cancelAll()
      }
    }
  }

  private func rotate(_ database: BenchmarkDatabase, _ started: Started) async throws {
    let server = try await database.serverProcess()
    var report = Report(
      "\(shards.grouped) shards rotate at once, one worker; all children must be owned within 10 s",
      "",
      "rotation itself s",
      "owned s",
      "reader started s",
      "CPU s: client",
      "server"
    )
    for round in 1...rounds {
      // What has just started opens its reader still.
      try await ContinuousClock().sleep(for: .seconds(5))
      try await database.pool.execute("SELECT pg_stat_statements_reset()")
      let clock = ContinuousClock()
      let before = Usage.now(server: server)
      let begin = clock.now
      try await database.pool.transaction { transaction in
        try await transaction.execute(
          "UPDATE tidemark.stream SET rotate_after = '1 second', measured_at = '-infinity', maximum_shards = 4096"
        )
        try await transaction.execute(
          "SELECT tidemark.manage_shards(stream_id) FROM tidemark.stream"
        )
        try await transaction.execute("UPDATE tidemark.stream SET rotate_after = '1 day'")
      }
      let rotated = clock.now
      try await until("all children are owned") {
        try await database.pool.query(
          """
          SELECT count(*) FILTER (WHERE ended_at IS NULL AND owner IS NOT NULL)
            + count(*) FILTER (WHERE ended_at IS NOT NULL) FROM tidemark_leases.lease
          """
        )[0].decode(Int.self) >= shards * (round + 1)
      }
      let owned = clock.now
      try await until("all children are read") { started.count >= shards * (round + 1) }
      let used = Usage.now(server: server) - before
      report.add(
        "round \(round)",
        begin.duration(to: rotated).seconds.formatted(1),
        rotated.duration(to: owned).seconds.formatted(1),
        rotated.duration(to: clock.now).seconds.formatted(1),
        used.client.formatted(1),
        used.server.formatted(1)
      )
    }
    report.print()
    try await printCostliestStatements(8, on: database.pool)
  }

  private func until(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now.advanced(by: .seconds(180))
    while try await !condition() {
      if ContinuousClock.now > deadline { throw BenchmarkFailure("Not within 180 s: \(what).") }
      try await ContinuousClock().sleep(for: .milliseconds(100))
    }
  }
}
