import ArgumentParser
import BenchmarkSupport
import CAllocationCount
import LibPQ
import Synchronization
import Tidemark
import TidemarkStreams

/// How fast one worker reads a shard that is far behind, beside plain libpq over the same rows.
struct ReadBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "Records a second from the log: a worker with a processor that does nothing, and plain libpq."
  )

  @Option(help: "How many records the log has.")
  var records = 1_000_000

  @Option(help: "The size of a record's image, in bytes.")
  var imageBytes = 200

  @Option(help: "The most records in a batch, and in a page of the peer's.")
  var batch = 5000

  @Option(help: "How often each reads all of them.")
  var rounds = 5

  private struct Run {
    var perSecond: Double
    /// CPU seconds of all threads, of the time that it took.
    var clientCores: Double
    /// CPU microseconds a record.
    var client: Double
    var server: Double
    var allocations: Double
  }

  func run() async throws {
    try await BenchmarkDatabase.with { database in
      let log = try await FilledLog(records: records, imageBytes: imageBytes, in: database)
      let plain = try PlainReader(url: database.url)
      let server = try await database.serverProcess()
      var runs: (plain: [Run], worker: [Run]) = ([], [])
      // The first round fills caches.
      for round in 0...rounds {
        let plain = try await measure(server) {
          guard try plain.readAll(of: log, pageSize: batch) == records else {
            throw BenchmarkFailure("the peer missed records")
          }
          return (records, nil)
        }
        let worker = try await readByWorker(log, round, server, in: database)
        if round > 0 {
          runs.plain.append(plain)
          runs.worker.append(worker)
        }
      }
      report(runs.plain, runs.worker)
    }
  }

  private func readByWorker(
    _ log: FilledLog,
    _ round: Int,
    _ server: Int,
    in database: BenchmarkDatabase
  ) async throws -> Run {
    let progress = ReadProgress(goal: records)
    var configuration = WorkerConfiguration()
    configuration.reading.maximumRecords = batch
    let worker = try Worker(
      application: "read-\(round)",
      stream: PostgresStream(log.name, pool: database.pool, logger: BenchmarkDatabase.logger),
      leases: database.store,
      configuration: configuration,
      logger: BenchmarkDatabase.logger
    ) { _ in CountingProcessor(progress: progress) }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await worker.run() }
      // A worker's start is not what this measures.
      await progress.started.wait()
      let run = try await measure(server) {
        await progress.finished.wait()
        return (records - progress.beforeStart, progress.duration)
      }
      group.cancelAll()
      return run
    }
  }

  /// - Parameter body: returns how many records it has read, and how long that took if it knows better.
  private func measure(_ server: Int, _ body: () async throws -> (Int, Duration?)) async throws -> Run {
    let clock = ContinuousClock()
    let (begin, before, allocated) = (clock.now, Usage.now(server: server), tidemark_allocation_count())
    let (count, known) = try await body()
    let allocations = tidemark_allocation_count() - allocated
    let time = (known ?? begin.duration(to: clock.now)).seconds
    let used = Usage.now(server: server) - before
    return Run(
      perSecond: Double(count) / time,
      clientCores: used.client / time,
      client: used.client * 1e6 / Double(count),
      server: used.server * 1e6 / Double(count),
      allocations: Double(allocations) / Double(count)
    )
  }

  private func report(_ plain: [Run], _ worker: [Run]) {
    var report = Report(
      "Reading \(records.grouped) records of \(imageBytes) bytes, \(batch.grouped) at a time; medians of \(rounds), in turns",
      "",
      "records/s",
      "of the peer",
      "client, % of a core",
      "CPU µs a record: client",
      "server",
      "allocations a record",
      "required"
    )
    let peer = median(plain.map(\.perSecond)) ?? 1
    for (name, runs, required) in [
      ("plain libpq, rows not looked at", plain, ""), ("a worker, a checkpoint a batch", worker, "600,000"),
    ] {
      let perSecond = median(runs.map(\.perSecond)) ?? 0
      report.add(
        name,
        Int(perSecond).grouped,
        (perSecond / peer).formatted(2),
        ((median(runs.map(\.clientCores)) ?? 0) * 100).formatted(0),
        (median(runs.map(\.client)) ?? 0).formatted(2),
        (median(runs.map(\.server)) ?? 0).formatted(2),
        (median(runs.map(\.allocations)) ?? 0).formatted(3),
        required
      )
    }
    report.print()
  }
}

private struct CountingProcessor: RecordProcessor {
  let progress: ReadProgress

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    try await checkpointer.checkpoint()
    progress.add(batch.count)
  }
}
