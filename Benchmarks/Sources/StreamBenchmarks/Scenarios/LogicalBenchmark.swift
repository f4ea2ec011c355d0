import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkStreams

/// How fast capture by decoding works off a backlog, beside a client that throws away what it is sent.
struct LogicalBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "logical",
    abstract: "Decoded changes a second into the log, and what the writers of a decoded table pay."
  )

  @Option(help: "How many changes are waiting.")
  var records = 300_000

  @Option(help: "How often each works off all of them.")
  var rounds = 3

  @Option(help: "How many connections write, for the writers' cost.")
  var writers = 8

  @Option(help: "How many rows their tables have.")
  var rows = 200_000

  @Option(help: "How many seconds each of their turns lasts.")
  var seconds = 5

  private struct Run {
    var perSecond: Double
    /// CPU microseconds a record.
    var client: Double
    var server: Double
  }

  private enum Way: String, CaseIterable {
    case none = "not captured"
    case identity = "REPLICA IDENTITY FULL, nobody captures"
    case captured = "captured on the same two cores"
  }

  func run() async throws {
    try await BenchmarkDatabase.with(connections: 8) { database in
      try await measureBacklog(database)
    }
    try await BenchmarkDatabase.with(connections: 8) { database in
      try await measureWriters(database)
    }
  }

  // MARK: A backlog

  private func measureBacklog(_ database: BenchmarkDatabase) async throws {
    try await database.pool.execute("CREATE TABLE item (id bigint PRIMARY KEY, note text NOT NULL)")
    try await PostgresStreamAdmin(database.pool, logger: BenchmarkDatabase.logger)
      .enable(table: "item", viewType: .newImage, capture: .logical)
    try await database.pool.execute("SELECT pg_create_logical_replication_slot('peer', 'pgoutput')")
    let server = try await database.serverProcess()
    let stream = PostgresStream("item", pool: database.pool, logger: BenchmarkDatabase.logger)
    for (size, required) in [(1, "50,000"), (100, "100,000")] {
      var runs: (peer: [Run], capture: [Run]) = ([], [])
      for _ in 0..<rounds {
        try await write(transactionsOf: size, database)
        runs.peer.append(try await measure(server) { try await drain(database) })
        runs.capture.append(try await measure(server) { try await stream.sequenceCommitted() })
      }
      report(size, runs.peer, runs.capture, required)
    }
  }

  /// New rows, and nothing else: emptying the table would make as many records again.
  private func write(transactionsOf size: Int, _ database: BenchmarkDatabase) async throws {
    try await database.pool.withConnection { connection in
      try await connection.executeScript("SET synchronous_commit = off")
      try await connection.executeScript(
        """
        DO $$
        DECLARE
          last bigint := coalesce((SELECT max(id) FROM item), 0);
        BEGIN
          FOR i IN 0..\(records / size - 1) LOOP
            INSERT INTO item SELECT n, rpad(n::text, 170, 'abcdefghij ')
              FROM generate_series(last + i * \(size) + 1, last + (i + 1) * \(size)) AS n;
            COMMIT;
          END LOOP;
        END $$
        """
      )
      try await connection.executeScript("RESET synchronous_commit")
      // Making a slot notes the running transactions in the log, from where the next session can begin. The server does
      // so every 15 s, and a session decodes again what it has decoded since: that is for a restart to pay.
      try await connection.executeScript(
        "SELECT pg_create_logical_replication_slot('mark', 'pgoutput', true); SELECT pg_drop_replication_slot('mark')"
      )
    }
  }

  /// Receives everything up to now from a slot of its own, and looks at no more of it than where it ends.
  private func drain(_ database: BenchmarkDatabase) async throws {
    let text = try await database.pool.query("SELECT pg_logical_emit_message(true, 'end', '')::text")[0]
      .decode(String.self)
    let end = PQLSN(text) ?? PQLSN(rawValue: .max)
    let replication = try await database.pool.startReplication(
      PQReplication.Configuration(
        slot: "peer",
        options: ["proto_version": "1", "publication_names": "tidemark_1", "messages": "true"]
      )
    )
    var place = PQLSN(rawValue: 0)
    while place < end {
      var offset = 0
      try await replication.receive().read(from: &offset) { message in
        switch message {
        case .keepalive(let told): place = max(place, told)
        case .change(let told, _): place = max(place, told)
        }
        return true
      }
    }
    try await replication.confirm(place)
    await replication.close()
  }

  private func measure(_ server: Int, _ body: () async throws -> Void) async throws -> Run {
    let clock = ContinuousClock()
    let (begin, before) = (clock.now, Usage.now(server: server))
    try await body()
    let time = begin.duration(to: clock.now).seconds
    let used = Usage.now(server: server) - before
    return Run(
      perSecond: Double(records) / time,
      client: used.client * 1e6 / Double(records),
      server: used.server * 1e6 / Double(records)
    )
  }

  private func report(_ size: Int, _ peer: [Run], _ capture: [Run], _ required: String) {
    var report = Report(
      "Decoding \(records.grouped) inserted rows, \(size) a transaction; medians of \(rounds), in turns",
      "",
      "records/s",
      "of the peer",
      "CPU µs a record: client",
      "server",
      "required"
    )
    let limit = median(peer.map(\.perSecond)) ?? 1
    for (name, runs, required) in [
      ("pgoutput received, and not looked at", peer, ""), ("captured into the log", capture, required),
    ] {
      let perSecond = median(runs.map(\.perSecond)) ?? 0
      report.add(
        name,
        Int(perSecond).grouped,
        (perSecond / limit).formatted(2),
        (median(runs.map(\.client)) ?? 0).formatted(2),
        (median(runs.map(\.server)) ?? 0).formatted(2),
        required
      )
    }
    report.print()
  }

  // MARK: The writers

  private func measureWriters(_ database: BenchmarkDatabase) async throws {
    try await WriterTable.make(rows: rows, in: database)
    try await database.pool.execute("CREATE TABLE other (LIKE item INCLUDING ALL)")
    try await database.pool.execute("INSERT INTO other SELECT * FROM item")
    try await database.pool.execute("VACUUM (FREEZE, ANALYZE) other")
    try await PostgresStreamAdmin(database.pool, logger: BenchmarkDatabase.logger)
      .enable(table: "item", capture: .logical)
    var load = WriterLoad(url: database.url)
    (load.connections, load.duration) = (writers, .seconds(seconds))
    var turns = WriterTurns<Way>()
    // The first round fills caches.
    for round in 0...rounds {
      for way in Way.allCases {
        let rate = try await measure(way, load, database)
        if round > 0 { turns.add(rate, for: way) }
      }
    }
    turns.report(load, required: [.identity: "0.90"])
  }

  private func measure(_ way: Way, _ load: WriterLoad, _ database: BenchmarkDatabase) async throws -> Double {
    let stream = PostgresStream("item", pool: database.pool, logger: BenchmarkDatabase.logger)
    // What the turn before has left is not this one's.
    try await stream.sequenceCommitted()
    let table = way == .none ? "other" : "item"
    try await database.pool.execute(PQStatement(stringLiteral: "VACUUM \(table)"))
    let script = WriterTable.update(rows: rows).replacing("UPDATE item", with: "UPDATE \(table)")
    guard way == .captured else { return try await load.run(script) }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await stream.run() }
      let rate = try await load.run(script)
      group.cancelAll()
      return rate
    }
  }
}
