import ArgumentParser
import BenchmarkSupport
import Foundation
import LibPQ
import Tidemark
import TidemarkStreams

/// What one worker costs that reads many streams of one shard each, and how a fleet of three shares them.
struct ManyBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "many",
    abstract: """
      Many streams in one worker: what they cost while nothing happens, how late a change of one comes, what looking \
      after them costs, and how three workers share them and go on when one is killed.
      """
  )

  @Option(help: "How many streams there are.")
  var streams = 1000

  @Option(help: "How many changes are made one by one, each in another stream.")
  var probes = 300

  @Option(help: "For how many seconds nothing happens.")
  var seconds = 60

  @Option(help: "How many workers of a fleet of three are killed, one after the other.")
  var kills = 7

  private static let clock = ContinuousClock()

  func run() async throws {
    let settings = [
      "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "on",
      "max_locks_per_transaction": "256",
    ]
    try await BenchmarkDatabase.with(connections: 4, settings: settings) { database in
      try await database.pool.execute("CREATE EXTENSION pg_stat_statements")
      try await makeStreams(in: database)
      try await oneWorker(on: database)
      try await maintenance(of: database)
      if kills > 0 { try await fleet(on: database) }
    }
  }

  private func say(_ text: String) {
    print("  \(text)")
    fflush(nil)
  }

  private func makeStreams(in database: BenchmarkDatabase) async throws {
    let start = Self.clock.now
    for number in 0..<streams {
      let table = "item_\(number)"
      try await database.pool.execute(
        "CREATE TABLE \(identifier: table) (id integer PRIMARY KEY, sent bigint NOT NULL)"
      )
      try await database.pool.execute("INSERT INTO \(identifier: table) VALUES (1, 0)")
      let stream = try await database.pool.query(
        "SELECT tidemark.enable_stream(\(table)::text::regclass, shard_count => 1)"
      )[0].decode(Int32.self)
      // The first step of a stream makes a table.
      try await write(number, to: database.pool)
      try await database.pool.execute("SELECT tidemark.advance(\(stream))")
      if (number + 1) % 100 == 0 {
        say(
          "\((number + 1).grouped) streams after \(start.duration(to: Self.clock.now).seconds.formatted(1)) s"
        )
      }
    }
    try await database.pool.execute("VACUUM ANALYZE")
  }

  // MARK: One worker

  private func oneWorker(on database: BenchmarkDatabase) async throws {
    let probe = LatencyProbe()
    // As a user makes one: with connections of its own.
    let worker = try Worker(
      application: "many",
      streams: ["*"],
      database: database.url,
      logger: BenchmarkDatabase.logger
    ) { _ in ProbingProcessor(probe: probe) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      let start = Self.clock.now
      group.addTask { try await worker.run() }
      try await until("all leases are owned") { try await ownedLeases(of: "many", on: database) == streams }
      let owned = start.duration(to: Self.clock.now)
      try await until("all streams are read") { probe.count >= streams }
      let read = start.duration(to: Self.clock.now)
      say(
        "all leases are owned after \(owned.seconds.formatted(1)) s, and read after \(read.seconds.formatted(1)) s"
      )
      try await Self.clock.sleep(for: .seconds(5))
      try await quiet(database)
      probe.reset()
      for _ in 0..<probes {
        try await Self.clock.sleep(for: .milliseconds(.random(in: 20...60)))
        try await write(.random(in: 0..<streams), to: database.pool)
      }
      try await until("all changes are handled") { probe.count >= probes }
      let (median, ninetyNine, longest) = probe.summary()
      var report = Report(
        "From a change's statement to process, a stream at random; the median must be 5 ms",
        "median ms",
        "99 % ms",
        "longest"
      )
      report.add(median.formatted(2), ninetyNine.formatted(2), longest.formatted(2))
      report.print()
      group.cancelAll()
    }
  }

  private func write(_ number: Int, to pool: PQPool) async throws {
    try await pool.execute(
      "UPDATE \(identifier: "item_\(number)") SET sent = \(LatencyProbe.stamp()) WHERE id = 1"
    )
  }

  private func quiet(_ database: BenchmarkDatabase) async throws {
    let calls: PQStatement = "SELECT sum(calls)::bigint FROM pg_stat_statements WHERE toplevel"
    try await database.pool.execute("SELECT pg_stat_statements_reset()")
    let server = try await database.serverProcess()
    let before = (Usage.now(server: server), try await database.pool.query(calls)[0].decode(Int.self))
    try await Self.clock.sleep(for: .seconds(seconds))
    let used = Usage.now(server: server) - before.0
    let statements = try await database.pool.query(calls)[0].decode(Int.self) - before.1 - 1
    let connections = try await database.pool.query(
      """
      SELECT count(*) FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND application_name LIKE 'tidemark many%'
      """
    )[0].decode(Int.self)
    var report = Report(
      "\(streams.grouped) streams in one worker, for \(seconds) s in which nothing happens",
      "",
      "value",
      "limit"
    )
    report.add("worker, % of a core", (used.client / Double(seconds) * 100).formatted(1), "5 with the server")
    report.add("server, % of a core", (used.server / Double(seconds) * 100).formatted(1), "")
    report.add("statements/s", (Double(statements) / Double(seconds)).formatted(1), "50")
    report.add("connections", "\(connections)", "8")
    report.print()
    try await printCostliestStatements(6, on: database.pool)
  }

  // MARK: Maintenance

  /// Everything once, in a session that has done it before. Workers look at conditions each half a minute, and after an idle
  /// stream ten times less often.
  private func maintenance(of database: BenchmarkDatabase) async throws {
    let admin = PostgresStreamAdmin(database.pool)
    let server = try await database.serverProcess()
    let interval = 30 * 0.75
    var shares: [Double] = []
    var report = Report(
      "Maintenance of \(streams.grouped) idle streams by one process of the fleet; 2 % of a core are allowed",
      "",
      "CPU s, client + server",
      "each",
      "% of a core"
    )
    for (name, every, work) in [
      ("conditions", interval, { try await admin.watchConditions() as Any }),
      ("retention and shards", interval * 10, { try await admin.maintain() as Any }),
    ] as [(String, Double, () async throws -> Any)] {
      _ = try await work()
      let before = Usage.now(server: server)
      _ = try await work()
      let used = Usage.now(server: server) - before
      shares.append((used.client + used.server) / every * 100)
      report.add(
        name,
        "\(used.client.formatted(2)) + \(used.server.formatted(2))",
        "\(every.formatted(0)) s",
        shares[shares.count - 1].formatted(2)
      )
    }
    report.add("together", "", "", shares.reduce(0, +).formatted(2))
    report.print()
  }

  // MARK: A fleet

  private func fleet(on database: BenchmarkDatabase) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("tidemark-many-\(getpid())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    var workers: [ManyWorkerProcess] = []
    defer { for worker in workers { worker.crash() } }
    func start() throws {
      workers.append(
        try ManyWorkerProcess("worker-\(workers.count)-\(LatencyProbe.stamp())", on: database, in: directory)
      )
    }
    for _ in 0..<3 { try start() }
    var recoveries: [Double] = []
    var spread: [Int] = []
    for _ in 0..<kills {
      try await until("the fleet is balanced") {
        spread = try await leasesByWorker(on: database)
        return spread.count == 3 && spread.reduce(0, +) == streams
          && (spread.max() ?? 0) - (spread.min() ?? 0) <= 1
      }
      try await Self.clock.sleep(for: .seconds(2))
      let victim = workers.removeFirst()
      let theirs = try await database.pool.query(
        """
        SELECT l.stream FROM tidemark_leases.lease AS l JOIN tidemark_leases.worker AS w ON w.incarnation = l.owner
        WHERE w.worker_id = \(victim.name)
        """
      ).map { try $0.decode(String.self) }
      let moment = LatencyProbe.stamp()
      victim.crash()
      var handled: [String: Int64] = [:]
      try await until("the streams of the one that was killed are read again") {
        handled = try workers.reduce(into: [:]) { all, worker in
          all.merge(try worker.handled(since: moment)) { min($0, $1) }
        }
        return theirs.allSatisfy { handled[$0] != nil }
      }
      let last = theirs.compactMap { handled[$0] }.max() ?? moment
      recoveries.append(Double(last - moment) / 1e6)
      say(
        "\(spread) leases; \(theirs.count) read again after \(recoveries[recoveries.count - 1].formatted(0)) ms"
      )
      try start()
    }
    var report = Report(
      "A fleet of three, one killed with SIGKILL: until all its streams are read again; the median must be 500 ms",
      "kills",
      "median ms",
      "longest"
    )
    report.add("\(kills)", (median(recoveries) ?? .nan).formatted(0), (recoveries.max() ?? .nan).formatted(0))
    report.print()
  }

  private func leasesByWorker(on database: BenchmarkDatabase) async throws -> [Int] {
    try await database.pool.query(
      """
      SELECT count(l.*) FROM tidemark_leases.worker AS w LEFT JOIN tidemark_leases.lease AS l ON l.owner = w.incarnation
      WHERE w.application = 'fleet' AND w.state = 'active' GROUP BY w.incarnation ORDER BY 1
      """
    ).map { try $0.decode(Int.self) }
  }

  private func ownedLeases(of application: String, on database: BenchmarkDatabase) async throws -> Int {
    try await database.pool.query(
      "SELECT count(owner) FROM tidemark_leases.lease WHERE application = \(application)"
    )[0].decode(Int.self)
  }

  private func until(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = Self.clock.now.advanced(by: .seconds(300))
    while try await !condition() {
      if Self.clock.now > deadline { throw BenchmarkFailure("Not within 300 s: \(what).") }
      try await Self.clock.sleep(for: .milliseconds(20))
    }
  }
}
