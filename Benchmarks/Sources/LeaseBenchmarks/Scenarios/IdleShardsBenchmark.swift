import ArgumentParser
import BenchmarkSupport
import LibPQ
import Logging
import Synchronization
import Tidemark
import TidemarkStreams
import TidemarkTestKit

/// What a worker costs that holds many shards in which nothing happens.
struct IdleShardsBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "idle",
    abstract: "CPU and memory of one worker that holds many idle shards."
  )

  enum Source: String, CaseIterable, ExpressibleByArgument {
    case postgres, memory
  }

  @Option(help: "How many shards there are.")
  var shards = 10_000

  @Option(help: "How many seconds are measured.")
  var seconds = 60

  @Option(help: "The stream to read.")
  var source = Source.postgres

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
    try await BenchmarkDatabase.with(connections: 8) { database in
      let stream: any StreamSource =
        switch source {
        case .memory: InMemoryStream(shardCount: shards)
        case .postgres: try await makeStream(in: database)
        }
      let started = Started()
      var configuration = WorkerConfiguration()
      configuration.reading.initialPosition = .latest
      let before = Usage.residentMemory()
      let worker = try Worker(
        application: "idle",
        stream: stream,
        leases: database.store,
        configuration: configuration,
        events: started,
        logger: BenchmarkDatabase.logger
      ) { _ in Ignoring() }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.run() }
        try await measure(database, started, memory: before)
        group.cancelAll()
      }
    }
  }

  /// A stream starts with at most 4,096 shards; more come of splitting, and are read from where they begin.
  private func makeStream(in database: BenchmarkDatabase) async throws -> PostgresStream {
    try await PostgresStreamAdmin(database.pool).create("idle", shardCount: min(shards, 4096))
    while true {
      let open = try await database.pool.query(
        "SELECT count(*) FROM tidemark.shard WHERE closed_at IS NULL"
      )[0].decode(Int.self)
      if open >= shards { break }
      try await database.pool.execute(
        """
        SELECT tidemark.split_shard(stream_id, shard_id) FROM (
          SELECT stream_id, shard_id FROM tidemark.shard WHERE closed_at IS NULL LIMIT \(shards - open)) AS s
        """
      )
    }
    try await database.pool.execute("VACUUM ANALYZE")
    return PostgresStream("idle", pool: database.pool, logger: BenchmarkDatabase.logger)
  }

  private func measure(_ database: BenchmarkDatabase, _ started: Started, memory before: Int) async throws {
    let clock = ContinuousClock()
    let begin = clock.now
    let server = try await database.serverProcess()
    let atBegin = Usage.now(server: server)
    while started.count < shards { try await clock.sleep(for: .milliseconds(50)) }
    // A shard that is read from `LATEST` has a place of its own as soon as its reader is open.
    try await untilHolds(
      "SELECT NOT EXISTS (SELECT FROM tidemark_leases.lease WHERE checkpoint = 'LATEST')",
      in: database
    )
    let startTime = begin.duration(to: clock.now).seconds
    let startUsage = Usage.now(server: server) - atBegin

    // A shard is idle once that has been measured and reported.
    let measuredAll: PQStatement = "SELECT count(*) >= \(shards) FROM tidemark_leases.lease_load"
    try await untilHolds(measuredAll, in: database)
    let (usage, measured) = (Usage.now(server: server), clock.now)
    try await clock.sleep(for: .seconds(seconds))
    let elapsed = measured.duration(to: clock.now).seconds
    let used = Usage.now(server: server) - usage
    var report = Report(
      "One worker with \(shards.grouped) idle shards (\(source.rawValue)), over \(elapsed.formatted(0)) s",
      "",
      "value",
      "limit"
    )
    report.add("CPU of the worker, % of a core", (used.client / elapsed * 100).formatted(2), "5")
    report.add("CPU of the server, % of a core", (used.server / elapsed * 100).formatted(2), "")
    let memory = Usage.residentMemory()
    report.add("memory of the process, MB", (Double(memory) / 1e6).formatted(0), "")
    report.add("memory a shard, kB", (Double(memory - before) / 1e3 / Double(shards)).formatted(1), "")
    report.add("start: until all are read, s", startTime.formatted(1), "")
    report.add("start: CPU s of worker", startUsage.client.formatted(1), "")
    report.add("start: CPU s of server", startUsage.server.formatted(1), "")
    report.print()
  }

  private func untilHolds(_ question: PQStatement, in database: BenchmarkDatabase) async throws {
    while try await !database.pool.query(question)[0].decode(Bool.self) {
      try await ContinuousClock().sleep(for: .milliseconds(200))
    }
  }
}
