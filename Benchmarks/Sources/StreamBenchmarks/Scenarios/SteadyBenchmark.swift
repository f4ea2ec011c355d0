import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkStreams

/// What a steady trickle of single-row changes costs beyond the bare writes, part by part, beside PgQ and pg_recvlogical.
struct SteadyBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "steady",
    abstract: "CPU time a change of capture, steps, reads and checkpoints, at a steady rate, beside peers."
  )

  @Option(help: "Changes a second, each a transaction of its own.")
  var rates = [500, 2000, 8000]

  @Option(help: "How many seconds each turn lasts.")
  var seconds = 6

  @Option(help: "How many turns each way has.")
  var rounds = 3

  @Option(help: "How many shards the stream has.")
  var shards = 4

  @Flag(help: "Leave out the peers.")
  var alone = false

  private enum Way: String, CaseIterable {
    case none = "bare writes"
    case capture = "captured"
    case steps = "… and sequenced"
    case reads = "… and read by a worker"
    case whole = "… with a checkpoint a batch: all"
    case pgq = "PgQ: trigger, pgqd, a consumer"
    case recvlogical = "pg_recvlogical, pgoutput"
  }

  /// CPU seconds, and for how many changes.
  private struct Cost {
    var client: Double
    var server: Double
    var changes: Double

    var clientMicroseconds: Double { client / changes * 1e6 }
    var serverMicroseconds: Double { server / changes * 1e6 }
  }

  func run() async throws {
    try await BenchmarkDatabase.with(connections: 12) { database in
      try await WriterTable.make(rows: 100_000, noteLength: 180, in: database)
      let stream = try await PostgresStreamAdmin(database.pool).enable(table: "item", shardCount: shards)
      let peers = try await SteadyPeers(database)
      let ways = Way.allCases.filter { way in
        switch way {
        case .pgq: !alone && peers.hasPgQ
        case .recvlogical: !alone && peers.hasReceiver
        case .none, .capture, .steps, .reads, .whole: true
        }
      }
      for rate in rates {
        var costs: [Way: [Cost]] = [:]
        for round in 0...rounds {
          for way in round.isMultiple(of: 2) ? ways : ways.reversed() {
            let cost = try await measure(way, "\(rate)-\(round)", rate, stream.name, peers, database)
            if round > 0 { costs[way, default: []].append(cost) }
          }
        }
        report(rate, ways, costs)
      }
      if !alone { peers.explain() }
    }
  }

  private func measure(
    _ way: Way,
    _ application: String,
    _ rate: Int,
    _ stream: String,
    _ peers: SteadyPeers,
    _ database: BenchmarkDatabase
  ) async throws -> Cost {
    let isCaptured = [.capture, .steps, .reads, .whole].contains(way)
    try await database.pool.execute(
      isCaptured ? "ALTER TABLE item ENABLE TRIGGER USER" : "ALTER TABLE item DISABLE TRIGGER USER"
    )
    if way == .capture { try await database.pool.execute("TRUNCATE tidemark.inbox_1") }
    try await database.pool.execute("VACUUM item")
    let source = PostgresStream(stream, pool: database.pool, logger: BenchmarkDatabase.logger)
    switch way {
    case .none, .capture: return try await load(rate, database)
    case .steps: return try await load(rate, database) { try await source.run() }
    case .reads, .whole:
      let worker = try Worker(
        application: application + "\(way)",
        stream: source,
        leases: database.store,
        logger: BenchmarkDatabase.logger
      ) { _ in SteadyProcessor(checkpoints: way == .whole) }
      return try await load(rate, database) { try await worker.run() }
    case .pgq: return try await peers.withPgQ { try await load(rate, database, body: $0) }
    case .recvlogical: return try await peers.withReceiver { try await load(rate, database, child: $0) }
    }
  }

  /// - Parameters:
  ///   - child: a process whose time counts as the client's.
  ///   - body: what runs beside the writers.
  private func load(
    _ rate: Int,
    _ database: BenchmarkDatabase,
    child: Int? = nil,
    body: (@Sendable () async throws -> Void)? = nil
  ) async throws -> Cost {
    var load = WriterLoad(url: database.url)
    (load.connections, load.duration, load.rate) = (4, .seconds(seconds), rate)
    let script = WriterTable.update(rows: 100_000)
    let server = try await database.serverProcess()
    return try await withThrowingTaskGroup(of: Void.self) { group in
      if let body { group.addTask { try await body() } }
      // Connections, plans and caches are made before it counts.
      var warmUp = load
      warmUp.duration = .seconds(1)
      _ = try await warmUp.run(script)
      let before = Usage.now(server: server)
      let childBefore = child.map(Usage.time(of:)) ?? 0
      let reached = try await load.run(script)
      // What the last changes still cost.
      try await ContinuousClock().sleep(for: .milliseconds(100))
      let used = Usage.now(server: server) - before
      group.cancelAll()
      return Cost(
        client: used.client + (child.map(Usage.time(of:)) ?? 0) - childBefore,
        server: used.server,
        changes: reached * Double(seconds)
      )
    }
  }

  private func report(_ rate: Int, _ ways: [Way], _ costs: [Way: [Cost]]) {
    var report = Report(
      "\(rate.grouped) changes/s in single-row transactions, \(shards) shards; CPU µs a change beyond the bare writes, "
        + "medians of \(rounds)",
      "",
      "client",
      "server",
      "together",
      "more than the last"
    )
    func median(_ way: Way) -> (client: Double, server: Double) {
      let all = costs[way] ?? []
      return (
        BenchmarkSupport.median(all.map(\.clientMicroseconds)) ?? 0,
        BenchmarkSupport.median(all.map(\.serverMicroseconds)) ?? 0
      )
    }
    let bare = median(.none)
    report.add(Way.none.rawValue, "", "(\(bare.server.formatted(0)))", "", "")
    var last = 0.0
    for way in ways where way != .none {
      let cost = median(way)
      let (client, server) = (cost.client - bare.client, cost.server - bare.server)
      let isPeer = way == .pgq || way == .recvlogical
      report.add(
        way.rawValue,
        client.formatted(0),
        server.formatted(0),
        (client + server).formatted(0),
        isPeer ? "" : (client + server - last).formatted(0)
      )
      if !isPeer { last = client + server }
    }
    report.print()
  }
}

private struct SteadyProcessor: RecordProcessor {
  var checkpoints: Bool

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    if checkpoints { try await checkpointer.checkpoint() }
  }
}
