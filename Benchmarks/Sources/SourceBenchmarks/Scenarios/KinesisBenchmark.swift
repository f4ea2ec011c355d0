import ArgumentParser
import BenchmarkSupport
import CAllocationCount
import Tidemark
import TidemarkAWS

/// What reading Kinesis costs the client, beside plain HTTP.
struct KinesisBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kinesis",
    abstract: "Records per CPU second from a Kinesis on loopback: a worker that checkpoints, and plain HTTP."
  )

  @Option(help: "How many shards are read, each five times a second and 1,000 records at a time.")
  var shards = 48

  @Option(help: "How many records a shard has.")
  var recordsPerShard = 40_000

  @Option(help: "The size of a record's data, in bytes.")
  var dataBytes = 200

  @Option(help: "How often each reads all of them.")
  var rounds = 5

  private var records: Int { shards * recordsPerShard }

  private struct Run {
    var perSecond: Double
    /// CPU seconds of all threads, of the time that it took.
    var clientCores: Double
    /// CPU microseconds a record.
    var client: Double
    var endpoint: Double
    var allocations: Double
  }

  func run() async throws {
    let endpoint = try EndpointProcess(
      shards: shards,
      recordsPerShard: recordsPerShard,
      dataBytes: dataBytes
    )
    try await BenchmarkDatabase.with { database in
      var runs: (plain: [Run], worker: [Run]) = ([], [])
      // The first round fills caches.
      for round in 0...rounds {
        let plain = try await readPlainly(endpoint)
        let worker = try await readByWorker(endpoint, round, in: database)
        if round > 0 {
          runs.plain.append(plain)
          runs.worker.append(worker)
        }
      }
      report(runs.plain, runs.worker)
    }
    try endpoint.stop()
  }

  private func readPlainly(_ endpoint: EndpointProcess) async throws -> Run {
    let reader = PlainHTTPReader(url: endpoint.url, shards: shards, recordsPerShard: recordsPerShard)
    return try await measure(endpoint) { (try await reader.readAll(), nil) }
  }

  private func readByWorker(
    _ endpoint: EndpointProcess,
    _ round: Int,
    in database: BenchmarkDatabase
  ) async throws -> Run {
    let progress = ReadProgress(goal: records)
    let dataBytes = dataBytes
    let worker = try Worker(
      application: "kinesis-\(round)",
      stream: source(endpoint),
      leases: database.store,
      logger: BenchmarkDatabase.logger
    ) { _ in LookingProcessor(progress: progress, dataBytes: dataBytes) }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await worker.run() }
      // A worker's start is not what this measures.
      await progress.started.wait()
      let run = try await measure(endpoint) {
        await progress.finished.wait()
        return (records - progress.beforeStart, progress.duration)
      }
      group.cancelAll()
      return run
    }
  }

  private func source(_ endpoint: EndpointProcess) throws -> KinesisSource {
    var configuration = AWSConfiguration()
    configuration.endpoint.url = endpoint.url
    configuration.endpoint.region = "eu-central-1"
    configuration.credentials.provider = StaticCredentialsProvider(
      AWSCredentials(accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    )
    return try KinesisSource(
      KinesisAnswers.streamName,
      configuration: configuration,
      environment: AWSEnvironment(variables: [:]),
      logger: BenchmarkDatabase.logger
    )
  }

  /// - Parameter body: returns how many records it has read, and how long that took if it knows better.
  private func measure(_ endpoint: EndpointProcess, _ body: () async throws -> (Int, Duration?)) async throws
    -> Run
  {
    let clock = ContinuousClock()
    let (begin, before) = (clock.now, Usage.now(server: endpoint.processID))
    let allocated = tidemark_allocation_count()
    let (count, known) = try await body()
    let allocations = tidemark_allocation_count() - allocated
    let used = Usage.now(server: endpoint.processID) - before
    let time = (known ?? begin.duration(to: clock.now)).seconds
    return Run(
      perSecond: Double(count) / time,
      clientCores: used.client / time,
      client: used.client * 1e6 / Double(count),
      endpoint: used.server * 1e6 / Double(count),
      allocations: Double(allocations) / Double(count)
    )
  }

  private func report(_ plain: [Run], _ worker: [Run]) {
    var report = Report(
      "Reading \(records.grouped) records of \(dataBytes) bytes from \(shards) shards, 1,000 at a time; medians of \(rounds), in turns",
      "",
      "records/s",
      "client, % of a core",
      "CPU µs a record: client",
      "endpoint",
      "records per CPU s of the client",
      "required",
      "allocations a record"
    )
    for (name, runs, required) in [
      ("plain HTTP, answers not looked at", plain, ""), ("a worker, a checkpoint a batch", worker, "150,000"),
    ] {
      let client = median(runs.map(\.client)) ?? 1
      report.add(
        name,
        Int(median(runs.map(\.perSecond)) ?? 0).grouped,
        ((median(runs.map(\.clientCores)) ?? 0) * 100).formatted(0),
        client.formatted(2),
        (median(runs.map(\.endpoint)) ?? 0).formatted(2),
        Int(1e6 / client).grouped,
        required,
        (median(runs.map(\.allocations)) ?? 0).formatted(2)
      )
    }
    report.print()
  }
}

/// Looks at each record as a processor would: at its key and at its data.
private struct LookingProcessor: RecordProcessor {
  let progress: ReadProgress
  let dataBytes: Int

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    var (bytes, keyBytes, firsts) = (0, 0, 0)
    for record in batch {
      bytes += record.data?.count ?? 0
      firsts += Int(record.data?.first ?? 0)
      keyBytes += record.partitionKey.utf8.count
    }
    precondition(bytes == batch.count * dataBytes && keyBytes == batch.count * 16 && firsts > 0)
    try await checkpointer.checkpoint()
    progress.add(batch.count)
  }
}
