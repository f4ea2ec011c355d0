import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkStreams

/// Whether anything grows that should not: a day and a quarter of a stream, compressed in time.
struct DayBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "day",
    abstract: "Sizes of a stream's tables over thirty hours of steady writing, retention being one day."
  )

  @Option(help: "How many seconds stand for an hour.")
  var secondsPerHour = 10

  @Option(help: "How many hours.")
  var hours = 30

  @Option(help: "Changes a second while it runs; the day's 2,000, times what the machine can take.")
  var rate = 4000

  func run() async throws {
    // A checkpoint belongs to a day.
    let settings = ["checkpoint_timeout": "1min", "autovacuum_naptime": "1s"]
    try await BenchmarkDatabase.with(connections: 8, settings: settings) { database in
      try await WriterTable.make(rows: 100_000, in: database)
      try await PostgresStreamAdmin(database.pool).enable(
        table: "item",
        retention: .seconds(secondsPerHour) * 24
      )
      let worker = try Worker(
        application: "day",
        stream: PostgresStream(
          "item",
          pool: database.pool,
          maintenanceInterval: .seconds(1),
          logger: BenchmarkDatabase.logger
        ),
        leases: database.store,
        logger: BenchmarkDatabase.logger
      ) { _ in IgnoringProcessor() }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.run() }
        try await passHours(database)
        group.cancelAll()
      }
    }
  }

  private func passHours(_ database: BenchmarkDatabase) async throws {
    var report = Report(
      "A stream with \(rate.grouped) changes/s; an hour is \(secondsPerHour) s, retention a day",
      "hour",
      "changes so far",
      "inbox",
      "its dead rows",
      "steps",
      "log",
      "partitions",
      "leases and workers",
      "table itself"
    )
    var load = WriterLoad(url: database.url)
    load.duration = .seconds(secondsPerHour)
    var changes = 0
    for hour in 1...hours {
      let begin = ContinuousClock().now
      let rate = try await load.run(WriterTable.update(rows: 100_000) + "\\sleep \(8_000_000 / rate) us\n")
      changes += Int(rate * begin.duration(to: .now).seconds)
      if hour % 3 == 0 { try await addRow(to: &report, hour, changes, database) }
    }
    report.print()
  }

  private func addRow(
    to report: inout Report,
    _ hour: Int,
    _ changes: Int,
    _ database: BenchmarkDatabase
  ) async throws {
    let (inbox, dead, steps, log, partitions, leases, table) = try await database.pool.query(
      """
      SELECT pg_total_relation_size('tidemark.inbox_1'),
        (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'inbox_1'),
        pg_total_relation_size('tidemark.step'),
        (SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('tidemark.log_1')),
        (SELECT count(*) FROM tidemark.log_partition),
        pg_total_relation_size('tidemark_leases.lease') + pg_total_relation_size('tidemark_leases.worker')
          + pg_total_relation_size('tidemark_leases.lease_scope') + pg_total_relation_size('tidemark_leases.lease_load'),
        pg_total_relation_size('item')
      """
    )[0].decode((Int, Int, Int, Int, Int, Int, Int).self)
    report.add(
      "\(hour)",
      changes.grouped,
      inbox.inKilobytes,
      dead.grouped,
      steps.inKilobytes,
      log.inKilobytes,
      "\(partitions)",
      leases.inKilobytes,
      table.inKilobytes
    )
  }
}
