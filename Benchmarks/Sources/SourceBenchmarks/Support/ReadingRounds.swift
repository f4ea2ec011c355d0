import BenchmarkSupport
import CAllocationCount
import Tidemark
import TidemarkAWS

/// Reads the whole stream of an endpoint in turns, by a worker and by plain HTTP, and reports both.
struct ReadingRounds {
  private struct Run {
    var perSecond: Double
    /// CPU seconds of all threads, of the time that it took.
    var clientCores: Double
    /// CPU microseconds a record.
    var client: Double
    var endpoint: Double
    var allocations: Double
  }

  var title: String
  var load: ReadingLoad
  var rounds: Int
  var service: EndpointCommand.Service
  var plain: (target: String, interval: Duration)
  /// Records per CPU second of the client.
  var required: Int?
  var makeSource: (AWSConfiguration) throws -> any StreamSource
  var makeProcessor: @Sendable (ReadProgress) -> any RecordProcessor & Sendable

  func run() async throws {
    let endpoint = try EndpointProcess(service, load)
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
    let reader = PlainHTTPReader(
      url: endpoint.url,
      target: plain.target,
      interval: plain.interval,
      load: load
    )
    return try await measure(endpoint) { (try await reader.readAll(), nil) }
  }

  private func readByWorker(
    _ endpoint: EndpointProcess,
    _ round: Int,
    in database: BenchmarkDatabase
  ) async throws -> Run {
    let progress = ReadProgress(goal: load.records)
    let makeProcessor = makeProcessor
    let worker = try Worker(
      application: "reading-\(round)",
      stream: makeSource(Self.configuration(url: endpoint.url)),
      leases: database.store,
      logger: BenchmarkDatabase.logger
    ) { _ in makeProcessor(progress) }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await worker.run() }
      // A worker's start is not what this measures.
      await progress.started.wait()
      let run = try await measure(endpoint) {
        await progress.finished.wait()
        return (load.records - progress.beforeStart, progress.duration)
      }
      group.cancelAll()
      return run
    }
  }

  private static func configuration(url: String) -> AWSConfiguration {
    var configuration = AWSConfiguration()
    configuration.endpoint.url = url
    configuration.endpoint.region = "eu-central-1"
    configuration.credentials.provider = StaticCredentialsProvider(
      AWSCredentials(accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    )
    return configuration
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
      "\(title), \(load.records.grouped) of them from \(load.shards) shards, 1,000 at a time; medians of \(rounds), in turns",
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
      ("plain HTTP, answers not looked at", plain, nil), ("a worker, a checkpoint a batch", worker, required),
    ] {
      let client = median(runs.map(\.client)) ?? 1
      report.add(
        name,
        Int(median(runs.map(\.perSecond)) ?? 0).grouped,
        ((median(runs.map(\.clientCores)) ?? 0) * 100).formatted(0),
        client.formatted(2),
        (median(runs.map(\.endpoint)) ?? 0).formatted(2),
        Int(1e6 / client).grouped,
        required?.grouped ?? "",
        (median(runs.map(\.allocations)) ?? 0).formatted(2)
      )
    }
    report.print()
  }
}
