import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkStreams

/// What one worker costs that reads many streams of one shard each, in which little happens.
struct ManyBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "many",
    abstract:
      "Many streams in one worker: what they cost while nothing happens, and how late a change of one comes."
  )

  @Option(help: "How many streams there are.")
  var streams = 1000

  @Option(help: "How many changes are made one by one, each in another stream.")
  var probes = 300

  @Option(help: "For how many seconds nothing happens.")
  var seconds = 30

  func run() async throws {
    let settings = [
      "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "on",
      "max_locks_per_transaction": "256",
    ]
    try await BenchmarkDatabase.with(connections: 6, settings: settings) { database in
      try await database.pool.execute("CREATE EXTENSION pg_stat_statements")
      let clock = ContinuousClock()
      for number in 0..<streams {
        let table = "item_\(number)"
        try await database.pool.execute(
          "CREATE TABLE \(identifier: table) (id integer PRIMARY KEY, sent bigint NOT NULL)"
        )
        try await database.pool.execute("INSERT INTO \(identifier: table) VALUES (1, 0)")
        _ = try await database.pool.query(
          "SELECT tidemark.enable_stream(\(table)::text::regclass, shard_count => 1)"
        )
      }
      let probe = LatencyProbe()
      let worker = try Worker(
        application: "many",
        catalog: PostgresStreams(matching: "*", pool: database.pool, logger: BenchmarkDatabase.logger),
        leases: database.store,
        logger: BenchmarkDatabase.logger
      ) { _ in ProbingProcessor(probe: probe) }
      let writers = PQPool(database.configuration, maximumConnections: 2, logger: BenchmarkDatabase.logger)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.run() }
        let start = clock.now
        for number in 0..<streams { try await write(number, to: writers) }
        while probe.count < streams { try await clock.sleep(for: .milliseconds(20)) }
        print(
          "  all \(streams.grouped) streams are read after \(start.duration(to: clock.now).seconds.formatted(1)) s"
        )
        try await clock.sleep(for: .seconds(5))
        try await quiet(database)
        probe.reset()
        for _ in 0..<probes {
          try await clock.sleep(for: .milliseconds(.random(in: 20...60)))
          try await write(.random(in: 0..<streams), to: writers)
        }
        while probe.count < probes { try await clock.sleep(for: .milliseconds(20)) }
        let (median, ninetyNine, longest) = probe.summary()
        var report = Report(
          "From a change's statement to process, a stream at random",
          "median ms",
          "99 % ms",
          "longest"
        )
        report.add(median.formatted(2), ninetyNine.formatted(2), longest.formatted(2))
        report.print()
        group.cancelAll()
      }
      await writers.close()
    }
  }

  private func write(_ number: Int, to writers: PQPool) async throws {
    try await writers.execute(
      "UPDATE \(identifier: "item_\(number)") SET sent = \(LatencyProbe.stamp()) WHERE id = 1"
    )
  }

  private func quiet(_ database: BenchmarkDatabase) async throws {
    let calls: PQStatement = "SELECT sum(calls)::bigint FROM pg_stat_statements WHERE toplevel"
    let server = try await database.serverProcess()
    let before = (Usage.now(server: server), try await database.pool.query(calls)[0].decode(Int.self))
    try await ContinuousClock().sleep(for: .seconds(seconds))
    let used = Usage.now(server: server) - before.0
    let statements = try await database.pool.query(calls)[0].decode(Int.self) - before.1 - 1
    let connections = try await database.pool.query(
      "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )[0].decode(Int.self)
    var report = Report(
      "\(streams.grouped) streams in one worker, for \(seconds) s in which nothing happens",
      "worker, % of a core",
      "server, %",
      "statements/s",
      "connections, with two that write"
    )
    report.add(
      (used.client / Double(seconds) * 100).formatted(1),
      (used.server / Double(seconds) * 100).formatted(1),
      (Double(statements) / Double(seconds)).formatted(1),
      "\(connections)"
    )
    report.print()
    let top = try await database.pool.query(
      """
      SELECT calls, total_exec_time, left(regexp_replace(query, '\\s+', ' ', 'g'), 70) FROM pg_stat_statements
      WHERE toplevel ORDER BY total_exec_time DESC LIMIT 6
      """
    )
    for row in top {
      let (calls, time, query) = try row.decode((Int64, Double, String).self)
      print("    \(Int(calls).grouped) calls, \(Int(time).grouped) ms: \(query)")
    }
  }
}
