import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkPostgres

/// What it costs to check a consumer's rights: the same calls by the schema's owner and by a role that is a consumer
/// of this application on this stream, in turns.
struct RightsBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rights",
    abstract: "What checkpoints and plans cost a consumer, beside the schema's owner."
  )

  @Option(help: "How many workers there are.")
  var workers = 20

  @Option(help: "How many leases they own together.")
  var leases = 1000

  @Option(help: "How many rounds there are; in each, both make every call some times.")
  var rounds = 15

  func run() async throws {
    // The disk would hide the difference. Not `synchronous_commit`, which sessions set to `on` again.
    try await BenchmarkDatabase.with(connections: 1, settings: ["fsync": "off"]) { database in
      let fleet = try await LeaseFleet(workers: workers, leases: leases, in: database)
      try await database.pool.execute("CREATE ROLE consumer LOGIN PASSWORD 'consumer'")
      try await database.store.grant(.consumer, to: "consumer", application: "other-*", stream: "*")
      try await database.store.grant(
        .consumer,
        to: "consumer",
        application: fleet.scope.application,
        stream: "stream"
      )
      let configuration = try PQConfiguration(
        url: database.url.replacing(/\/\/[^@\/]*@/, with: "//consumer:consumer@")
      )
      let pool = PQPool(configuration, maximumConnections: 1, logger: BenchmarkDatabase.logger)
      let consumer = PostgresLeaseStore(configuration, pool: pool, logger: BenchmarkDatabase.logger)
      try await compare(database.store, consumer, fleet)
      await pool.close()
    }
  }

  private func compare(
    _ owner: PostgresLeaseStore,
    _ consumer: PostgresLeaseStore,
    _ fleet: LeaseFleet
  ) async throws {
    let grants = try await fleet.grants()
    var sequence: UInt64 = 1_000_000_000_000
    func checkpoint(_ size: Int, _ store: PostgresLeaseStore) async throws {
      sequence += 1
      let outcomes = try await store.checkpoint(
        (0..<size).map {
          CheckpointWrite(
            grant: grants[(Int(sequence) + $0) % grants.count],
            checkpoint: .record(SequenceNumber(sequence))
          )
        }
      )
      guard outcomes.allSatisfy({ $0 == .accepted }) else {
        throw BenchmarkFailure("a checkpoint was refused")
      }
    }
    let calls: [(name: String, times: Int, call: (PostgresLeaseStore) async throws -> Void)] = [
      ("a checkpoint", 400, { try await checkpoint(1, $0) }),
      ("100 checkpoints at once", 20, { try await checkpoint(100, $0) }),
      ("a plan with nothing to do", 10, { _ = try await fleet.plan(in: $0) }),
      ("a look whether to plan", 200, { _ = try await $0.look(as: fleet.workers[0], in: fleet.scope) }),
    ]
    var report = Report(
      "\(leases.grouped) leases on \(workers) workers, fsync off; medians of \(rounds), in turns",
      "µs",
      "owner",
      "consumer",
      "ratio"
    )
    for (name, times, call) in calls {
      var (owners, consumers): ([Double], [Double]) = ([], [])
      for round in 0...rounds {
        let byOwner = try await time(times, owner, call)
        let byConsumer = try await time(times, consumer, call)
        // The first round fills caches.
        if round > 0 {
          owners.append(byOwner)
          consumers.append(byConsumer)
        }
      }
      let ratio = median(zip(owners, consumers).map { $1 / $0 }) ?? 0
      report.add(
        name,
        (median(owners) ?? 0).formatted(0),
        (median(consumers) ?? 0).formatted(0),
        ratio.formatted(2)
      )
    }
    report.print()
  }

  /// Microseconds a call.
  private func time(
    _ times: Int,
    _ store: PostgresLeaseStore,
    _ call: (PostgresLeaseStore) async throws -> Void
  ) async throws -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<times { try await call(store) }
    return start.duration(to: clock.now).seconds * 1e6 / Double(times)
  }
}
