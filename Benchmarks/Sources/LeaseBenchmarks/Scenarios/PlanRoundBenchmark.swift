import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark

/// A planning round from end to end: reading the fleet, planning, writing the plan.
struct PlanRoundBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan-round",
    abstract: "The time of the lease store's planning round for a large fleet."
  )

  @Option(help: "How many workers there are.")
  var workers = 100

  @Option(help: "How many leases they own together.")
  var leases = 10_000

  @Option(help: "On how many streams.")
  var streams = 1

  func run() async throws {
    try await BenchmarkDatabase.with { database in
      var fleet = try await LeaseFleet(workers: workers, leases: leases, streams: streams, in: database)
      let server = try await database.serverProcess()
      var report = Report(
        "A planning round for \(leases.grouped) leases on \(workers) workers; medians of 7",
        "",
        "ms",
        "steps",
        "CPU ms client",
        "server"
      )
      try await add("nothing is owned", fleet, server, to: &report) {
        _ = try await database.pool.execute(
          """
          UPDATE tidemark_leases.lease SET owner = NULL, last_owner = owner, epoch = epoch + 1, handoff_to = NULL,
            handoff_deadline = NULL
          """
        )
      }
      try await add("nothing to do", fleet, server, to: &report) {}
      try await fleet.addWorker(workers)
      try await add("a worker joins", fleet, server, to: &report) {
        _ = try await database.pool.execute(
          "UPDATE tidemark_leases.lease SET handoff_to = NULL, handoff_deadline = NULL WHERE handoff_to IS NOT NULL"
        )
      }
      report.print()
    }
  }

  private func add(
    _ name: String,
    _ fleet: LeaseFleet,
    _ server: Int,
    to report: inout Report,
    preparing prepare: () async throws -> Void
  ) async throws {
    var (times, used): ([Duration], [Usage]) = ([], [])
    var steps = 0
    for _ in 1...7 {
      try await prepare()
      let before = Usage.now(server: server)
      times.append(try await ContinuousClock().measure { steps = try await fleet.plan().count })
      used.append(Usage.now(server: server) - before)
    }
    report.add(
      name,
      (median(times) ?? .zero).milliseconds.formatted(0),
      "\(steps)",
      ((median(used.map(\.client)) ?? 0) * 1000).formatted(0),
      ((median(used.map(\.server)) ?? 0) * 1000).formatted(0)
    )
  }
}
