import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkStreams

/// How long a change takes from its statement to `process`, and what an idle worker asks of the server.
struct LatencyBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "latency",
    abstract: "Milliseconds from a change's statement to process: idle, and under a steady load."
  )

  @Option(help: "How many shards the stream has.")
  var shards = 4

  @Flag(help: "Capture by logical decoding instead of by trigger.")
  var logical = false

  @Option(help: "How many changes are made one by one, with pauses between.")
  var probes = 500

  @Option(help: "Changes a second of the steady load, in transactions of ten; 0 for none.")
  var rate = 10_000

  @Option(help: "How many seconds the steady load lasts.")
  var seconds = 20

  private static let itemCount = 100_000

  func run() async throws {
    let settings = [
      "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "on",
    ]
    try await BenchmarkDatabase.with(connections: 8, settings: settings) { database in
      try await database.pool.execute("CREATE EXTENSION pg_stat_statements")
      try await database.pool.execute(
        "CREATE TABLE item (id integer PRIMARY KEY, sent bigint NOT NULL, note text NOT NULL)"
      )
      try await database.pool.execute(
        "INSERT INTO item SELECT n, 0, repeat('x', 60) FROM generate_series(0, \(Int32(Self.itemCount - 1))) AS n"
      )
      try await database.pool.execute("VACUUM (FREEZE, ANALYZE) item")
      try await PostgresStreamAdmin(database.pool).enable(
        table: "item",
        viewType: .newImage,
        capture: logical ? .logical : .trigger,
        shardCount: shards
      )
      let probe = LatencyProbe()
      let worker = try Worker(
        application: "latency",
        stream: PostgresStream("item", pool: database.pool, logger: BenchmarkDatabase.logger),
        leases: database.store,
        logger: BenchmarkDatabase.logger
      ) { _ in ProbingProcessor(probe: probe) }
      let writers = PQPool(
        database.configuration,
        maximumConnections: 8,
        logger: BenchmarkDatabase.logger
      )
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.run() }
        try await measure(probe, database, writers)
        group.cancelAll()
      }
      await writers.close()
    }
  }

  private func measure(
    _ probe: LatencyProbe,
    _ database: BenchmarkDatabase,
    _ writers: PQPool
  ) async throws {
    let clock = ContinuousClock()
    // Every shard is being read once the table's changes have come through it.
    try await write(0..<Self.itemCount / 10, to: writers)
    while probe.count < Self.itemCount / 10 { try await clock.sleep(for: .milliseconds(20)) }

    let quiet = try await statementsPerSecond(database)
    probe.reset()
    for _ in 0..<probes {
      try await clock.sleep(for: .milliseconds(.random(in: 20...60)))
      try await write([.random(in: 0..<Self.itemCount)], to: writers)
    }
    while probe.count < probes { try await clock.sleep(for: .milliseconds(20)) }
    let idle = probe.summary()
    report(idle, quiet, try await busy(probe, writers))
  }

  private func busy(
    _ probe: LatencyProbe,
    _ writers: PQPool
  ) async throws -> (summary: (Double, Double, Double), rate: Double)? {
    guard rate > 0 else { return nil }
    probe.reset()
    let clock = ContinuousClock()
    let begin = clock.now
    let pause = Duration.seconds(1) * 80 / rate
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<8 {
        group.addTask {
          var next = begin.advanced(by: pause * Double(writer) / 8)
          while next < begin.advanced(by: .seconds(seconds)) {
            try await clock.sleep(until: next)
            // Rows of this writer only: nobody waits for another's row.
            let first = Int.random(in: 0..<Self.itemCount / 80) * 80 + writer * 10
            try await write(first..<first + 10, to: writers)
            next = next.advanced(by: pause)
          }
        }
      }
      try await group.waitForAll()
    }
    let rate = Double(probe.count) / begin.duration(to: clock.now).seconds
    return (probe.summary(), rate)
  }

  /// Makes one change of each of these items, in one transaction.
  private func write(_ ids: some Sequence<Int> & Sendable, to writers: PQPool) async throws {
    try await writers.execute(
      "UPDATE item SET sent = \(LatencyProbe.stamp()) WHERE id = ANY(\(ids.map { Int32($0) }))"
    )
  }

  /// Of all sessions of the database, over ten seconds in which nothing is written.
  private func statementsPerSecond(_ database: BenchmarkDatabase) async throws -> Double {
    let clock = ContinuousClock()
    let calls: PQStatement = "SELECT sum(calls)::bigint FROM pg_stat_statements WHERE toplevel"
    let before = try await database.pool.query(calls)[0].decode(Int.self)
    let begin = clock.now
    try await clock.sleep(for: .seconds(10))
    let after = try await database.pool.query(calls)[0].decode(Int.self)
    return Double(after - before - 1) / begin.duration(to: clock.now).seconds
  }

  private func report(
    _ idle: (Double, Double, Double),
    _ quiet: Double,
    _ busy: (summary: (Double, Double, Double), rate: Double)?
  ) {
    var report = Report(
      "From a change's statement to process, one worker, \(shards.grouped) shards, captured by "
        + (logical ? "logical decoding" : "trigger"),
      "",
      "median ms",
      "99 % ms",
      "longest ms",
      "required: median",
      "99 %"
    )
    func add(_ name: String, _ values: (Double, Double, Double), _ median: String, _ ninetyNine: String) {
      report.add(
        name,
        values.0.formatted(2),
        values.1.formatted(2),
        values.2.formatted(2),
        median,
        ninetyNine
      )
    }
    add("idle, \(probes) changes", idle, "5", "20")
    if let busy { add("at \(Int(busy.rate).grouped) changes/s", busy.summary, "15", "") }
    report.print()
    print("  statements a second while nothing happens: \(quiet.formatted(1)) (at most 50)")
  }
}
