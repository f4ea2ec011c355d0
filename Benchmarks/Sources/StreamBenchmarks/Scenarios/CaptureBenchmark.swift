import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkStreams

/// What capture by trigger costs those who write.
struct CaptureBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capture",
    abstract: "Single-row updates a second with and without capture, in turns on one table."
  )

  @Option(help: "How many connections write.")
  var writers = 8

  @Flag(help: "Each connection writes to a captured table of its own.")
  var apart = false

  @Option(help: "How many rows the table has.")
  var rows = 200_000

  @Option(help: "How many seconds each turn lasts.")
  var seconds = 2

  @Option(help: "How many turns each way has.")
  var rounds = 16

  private enum Way: String, CaseIterable {
    case none = "no trigger"
    case trigger = "captured"
    case consumed = "captured, and read by a worker on the same two cores"
  }

  func run() async throws {
    try await BenchmarkDatabase.with(connections: 8) { database in
      for table in tables {
        try await WriterTable.make(table, rows: rows / tables.count, in: database)
        try await PostgresStreamAdmin(database.pool).enable(table: table)
      }
      var load = WriterLoad(url: database.url)
      (load.connections, load.duration) = (writers, .seconds(seconds))
      // What consuming leaves to clean up must not fall into the turns of those who only capture.
      for ways in [[Way.none, .trigger], [.none, .consumed]] {
        var turns = WriterTurns<Way>()
        // The first round fills caches. Every other one runs backwards: a turn must not gain by what it comes after.
        for round in 0...rounds {
          for way in round.isMultiple(of: 2) ? ways : ways.reversed() {
            let rate = try await measure(way, round, load, database)
            if round > 0 { turns.add(rate, for: way) }
          }
        }
        turns.report(load, required: [.trigger: "0.70"])
      }
    }
  }

  private func measure(
    _ way: Way,
    _ round: Int,
    _ load: WriterLoad,
    _ database: BenchmarkDatabase
  ) async throws -> Double {
    for (number, table) in tables.enumerated() {
      try await database.pool.execute("TRUNCATE tidemark.\(identifier: "inbox_\(number + 1)")")
      try await database.pool.execute(
        way == .none
          ? "ALTER TABLE \(identifier: table) DISABLE TRIGGER USER"
          : "ALTER TABLE \(identifier: table) ENABLE TRIGGER USER"
      )
      try await database.pool.execute("VACUUM \(identifier: table)")
    }
    guard way == .consumed else { return try await run(load) }
    let worker = try Worker(
      application: "capture-\(round)",
      streams: tables.map { PostgresStream($0, pool: database.pool, logger: BenchmarkDatabase.logger) },
      leases: database.store,
      logger: BenchmarkDatabase.logger
    ) { _ in IgnoringProcessor() }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await worker.run() }
      let rate = try await run(load)
      group.cancelAll()
      return rate
    }
  }

  private var tables: [String] { apart ? (0..<writers).map { "item_\($0)" } : ["item"] }

  private func run(_ load: WriterLoad) async throws -> Double {
    var load = load
    load.connections /= tables.count
    return try await withThrowingTaskGroup(of: Double.self) { group in
      for table in tables {
        group.addTask { [load, rows, tables] in
          try await load.run(WriterTable.update(table, rows: rows / tables.count))
        }
      }
      return try await group.reduce(0, +)
    }
  }
}

/// The table that writers update, one row a transaction.
enum WriterTable {
  static func make(_ table: String = "item", rows: Int, noteLength: Int = 60, in database: BenchmarkDatabase)
    async throws
  {
    let pool = database.pool
    try await pool.execute(
      "CREATE TABLE \(identifier: table) (id integer PRIMARY KEY, balance bigint NOT NULL, note text NOT NULL)"
    )
    try await pool.execute(
      "INSERT INTO \(identifier: table) SELECT n, 0, repeat('x', \(Int32(noteLength))) FROM generate_series(1, \(Int32(rows))) AS n"
    )
    try await pool.execute("VACUUM (FREEZE, ANALYZE) \(identifier: table)")
  }

  static func update(_ table: String = "item", rows: Int) -> String {
    """
    \\set id random(1, \(rows))
    UPDATE \(table) SET balance = balance + 1 WHERE id = :id;

    """
  }
}

/// Takes note of every record by a checkpoint, and does nothing else.
struct IgnoringProcessor: RecordProcessor {
  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    try await checkpointer.checkpoint()
  }
}
