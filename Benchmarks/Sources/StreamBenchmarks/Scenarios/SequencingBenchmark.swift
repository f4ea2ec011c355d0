import ArgumentParser
import BenchmarkSupport
import LibPQ
import TidemarkStreams

/// How fast the sequencing step moves a backlog, beside copying the same rows without numbering them.
struct SequencingBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sequencing",
    abstract: "Records a second from the inbox to the log, and a plain INSERT … SELECT of the same rows."
  )

  @Option(help: "How many records are waiting.")
  var records = 400_000

  @Option(help: "How many rows a step moves at most.")
  var rows = 2000

  @Option(help: "How often each moves all of them.")
  var rounds = 5

  private struct Run {
    var perSecond: Double
    /// CPU microseconds of the server for each record.
    var server: Double
  }

  func run() async throws {
    try await BenchmarkDatabase.with { database in
      try await PostgresStreamAdmin(database.pool).create("busy", shardCount: 4)
      try await database.pool.execute(
        "CREATE TABLE plain (LIKE tidemark.inbox_1, PRIMARY KEY (id))"
      )
      let server = try await database.serverProcess()
      var (step, plain): ([Run], [Run]) = ([], [])
      for _ in 0..<rounds {
        let first = try await fillInbox(database)
        plain.append(try await measure(server) { try await copy(from: first, database) })
        step.append(try await measure(server) { try await moveAll(database) })
      }
      report(step, plain)
    }
  }

  /// - Returns: the first record's place in the inbox.
  private func fillInbox(_ database: BenchmarkDatabase) async throws -> Int64 {
    try await database.pool.execute("TRUNCATE plain")
    try await database.pool.execute(
      """
      INSERT INTO tidemark.inbox_1 (event_name, partition_key, new_image)
      SELECT 'INSERT', format('{"id":%s}', n), (rpad(format('{"id":%s,"note":"', n), 198, 'abcdefghij ') || '"}')::json
      FROM generate_series(1, \(Int64(records))) AS n
      """
    )
    return try await database.pool.query("SELECT min(id) FROM tidemark.inbox_1")[0].decode(Int64.self)
  }

  private func copy(from first: Int64, _ database: BenchmarkDatabase) async throws {
    for offset in stride(from: 0, to: records, by: rows) {
      let (from, to) = (first + Int64(offset), first + Int64(offset + rows))
      try await database.pool.execute(
        "INSERT INTO plain SELECT * FROM tidemark.inbox_1 WHERE id >= \(from) AND id < \(to)"
      )
    }
  }

  private func moveAll(_ database: BenchmarkDatabase) async throws {
    var left = records
    while left > 0 {
      let moved = try await database.pool.query(
        "SELECT moved FROM tidemark.advance(1, NULL, \(Int32(rows)))"
      )[0]
      .decode(Int.self)
      guard moved > 0 else { throw BenchmarkFailure("the step left \(left) records behind") }
      left -= moved
    }
  }

  private func measure(_ server: Int, _ body: () async throws -> Void) async throws -> Run {
    let clock = ContinuousClock()
    let (begin, before) = (clock.now, Usage.now(server: server))
    try await body()
    let time = begin.duration(to: clock.now).seconds
    return Run(
      perSecond: Double(records) / time,
      server: (Usage.now(server: server) - before).server * 1e6 / Double(records)
    )
  }

  private func report(_ step: [Run], _ plain: [Run]) {
    var report = Report(
      "Moving \(records.grouped) records of 200 bytes, \(rows.grouped) at a time; medians of \(rounds), in turns",
      "",
      "records/s",
      "of the peer",
      "CPU µs a record: server",
      "required"
    )
    let peer = median(plain.map(\.perSecond)) ?? 1
    for (name, runs, required) in [
      ("INSERT … SELECT, nothing deleted or numbered", plain, ""), ("the sequencing step", step, "50,000"),
    ] {
      let perSecond = median(runs.map(\.perSecond)) ?? 0
      report.add(
        name,
        Int(perSecond).grouped,
        (perSecond / peer).formatted(2),
        (median(runs.map(\.server)) ?? 0).formatted(1),
        required
      )
    }
    report.print()
  }
}
