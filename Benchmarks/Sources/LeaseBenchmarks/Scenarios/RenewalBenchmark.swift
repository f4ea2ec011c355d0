import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark

/// What it costs to keep leases: one heartbeat a worker, beside one renewal a lease in the same database.
struct RenewalBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "renewal",
    abstract: "Rows and WAL per heartbeat interval, and what 1,000 of them leave behind."
  )

  @Option(help: "How many workers there are.")
  var workers = 100

  @Option(help: "How many leases they own together.")
  var leases = 10_000

  @Option(help: "On how many streams.")
  var streams = 1

  @Option(help: "After how many intervals the tables are measured.")
  var cycles = 1000

  func run() async throws {
    let settings = [
      // One second stands for the minute of the default: a run goes through its intervals that much faster.
      "autovacuum_naptime": "1s",
      // This is about rows and bytes; 10,000 durable commits in a row would only measure the disk.
      "synchronous_commit": "off",
    ]
    try await BenchmarkDatabase.with(connections: 1, settings: settings) { database in
      let fleet = try await LeaseFleet(workers: workers, leases: leases, streams: streams, in: database)
      let grants = try await fleet.grants()
      try await compare(fleet, grants, in: database)
      try await fill(fleet, grants, in: database)
    }
  }

  // MARK: One interval

  private struct Cost {
    var rows: Int
    var bytes: Int
    var time: Duration
  }

  private func compare(
    _ fleet: LeaseFleet,
    _ grants: [LeaseGrant],
    in database: BenchmarkDatabase
  ) async throws {
    let ways: [(name: String, renew: () async throws -> Void)] = [
      ("a heartbeat a worker (Tidemark)", { try await fleet.beat() }),
      ("a statement a lease (the KCL's way)", { try await renewEach(grants, in: database) }),
      ("a statement a worker, a row a lease", { try await renewTogether(grants, in: database) }),
      ("… a heartbeat with the loads of busy shards", { try await fleet.beat(measuring: grants) }),
    ]
    var costs: [[Cost]] = Array(repeating: [], count: ways.count)
    for _ in 1...3 {
      for (index, way) in ways.enumerated() {
        costs[index].append(try await cost(in: database, way.renew))
      }
    }
    var report = Report(
      "Renewing \(grants.count.grouped) leases of \(fleet.workers.count) workers once; synchronous_commit off; medians of 3, in turns",
      "",
      "rows",
      "WAL",
      "ms",
      "WAL, of the first"
    )
    let reference = median(costs[0].map(\.bytes)) ?? 1
    for (way, costs) in zip(ways, costs) {
      let bytes = median(costs.map(\.bytes)) ?? 0
      report.add(
        way.name,
        (median(costs.map(\.rows)) ?? 0).grouped,
        bytes.inKilobytes,
        (median(costs.map(\.time)) ?? .zero).milliseconds.formatted(1),
        "\((Double(bytes) / Double(reference)).formatted(1))×"
      )
    }
    report.add("prototype in C: a heartbeat a worker", "100", "23 kB", "", "")
    report.add("prototype in C: a statement a lease", "10,000", "4250 kB", "", "")
    report.print()
  }

  private func cost(in database: BenchmarkDatabase, _ renew: () async throws -> Void) async throws -> Cost {
    let transaction = try await database.nextTransaction()
    let position = try await database.logPosition()
    let time = try await ContinuousClock().measure { try await renew() }
    let bytes = try await database.logPosition() - position
    return Cost(rows: try await database.rowsWritten(since: transaction), bytes: bytes, time: time)
  }

  private func renewEach(_ grants: [LeaseGrant], in database: BenchmarkDatabase) async throws {
    try await database.pool.withConnection { connection in
      for grant in grants {
        try await connection.execute(
          """
          UPDATE tidemark_leases.lease SET updated_at = clock_timestamp()
          WHERE application = \(grant.scope.application) AND stream = \(grant.stream)
            AND shard_id = \(grant.shardID) AND owner = \(grant.owner.number) AND epoch = \(grant.epoch.number)
          """
        )
      }
    }
  }

  private func renewTogether(_ grants: [LeaseGrant], in database: BenchmarkDatabase) async throws {
    try await database.pool.withConnection { connection in
      for owner in Set(grants.map(\.owner)) {
        try await connection.execute(
          "UPDATE tidemark_leases.lease SET updated_at = clock_timestamp() WHERE owner = \(owner.number)"
        )
      }
    }
  }

  // MARK: Many intervals

  /// Every tenth heartbeat brings loads, as with the default intervals of 1 s and 10 s.
  private func fill(
    _ fleet: LeaseFleet,
    _ grants: [LeaseGrant],
    in database: BenchmarkDatabase
  ) async throws {
    let before = try await database.tableSizes()
    for cycle in 1...cycles { try await fleet.beat(measuring: cycle % 10 == 0 ? grants : []) }
    let after = try await database.tableSizes()
    var report = Report(
      "Tables after \(cycles.grouped) intervals, autovacuum on",
      "",
      "heap before",
      "after",
      "indexes before",
      "after"
    )
    for (before, after) in zip(before, after) {
      report.add(
        before.table,
        before.heap.inKilobytes,
        after.heap.inKilobytes,
        before.indexes.inKilobytes,
        after.indexes.inKilobytes
      )
    }
    report.print()
  }
}
