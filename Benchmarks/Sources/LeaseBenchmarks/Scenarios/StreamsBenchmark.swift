import ArgumentParser
import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkPostgres

/// What it costs that leases are on many streams, beside as many on one, in the same database by turns.
struct StreamsBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "streams",
    abstract:
      "Plans, heartbeats and looks for leases on many streams, beside as many leases on one."
  )

  @Option(help: "How many workers there are, each of which serves all streams.")
  var workers = 40

  @Option(help: "How many leases they own together.")
  var leases = 100_000

  @Option(help: "On how many streams.")
  var streams = 1000

  @Option(help: "How often each is done.")
  var rounds = 5

  private struct Cost {
    var time: Duration
    var used: Usage
  }

  func run() async throws {
    try await BenchmarkDatabase.with { database in
      let one = try await LeaseFleet("one", workers: workers, leases: leases, in: database)
      let many = try await LeaseFleet(
        "many",
        workers: workers,
        leases: leases,
        streams: streams,
        in: database
      )
      let server = try await database.serverProcess()
      var report = Report(
        "\(leases.grouped) leases of \(workers) workers on \(streams.grouped) streams; medians of \(rounds), by turns",
        "",
        "ms",
        "CPU ms client",
        "server",
        "on one stream",
        "client",
        "server",
        "ratio of CPU"
      )
      let works: [(String, (LeaseFleet) async throws -> Void)] = [
        ("a plan with nothing to do", { _ = try await $0.plan() }),
        (
          "a plan where nothing is owned",
          { fleet in
            try await database.pool.execute(
              """
              UPDATE tidemark_leases.lease SET owner = NULL, last_owner = owner, epoch = epoch + 1
              WHERE application = \(fleet.scope.application)
              """
            )
            _ = try await fleet.plan()
          }
        ),
        ("a heartbeat of each worker", { try await $0.beat() }),
        ("a thousand looks", { try await $0.look(1000) }),
        (
          "the leases of one worker",
          { _ = try await $0.store.leases(ownedBy: $0.workers[0], in: $0.scope) }
        ),
        ("all leases, for a shard sync", { _ = try await $0.store.leases(in: $0.scope) }),
      ]
      for (name, work) in works {
        var costs: [[Cost]] = [[], []]
        for _ in 0...rounds {
          for (index, fleet) in [many, one].enumerated() {
            let before = Usage.now(server: server)
            let time = try await ContinuousClock().measure { try await work(fleet) }
            costs[index].append(Cost(time: time, used: Usage.now(server: server) - before))
          }
        }
        // The first time is for the server's caches.
        let cells = costs.map { costs in
          (
            (median(costs.dropFirst().map(\.time)) ?? .zero).milliseconds,
            (median(costs.dropFirst().map(\.used.client)) ?? 0) * 1000,
            (median(costs.dropFirst().map(\.used.server)) ?? 0) * 1000
          )
        }
        let sums = cells.map { $0.1 + $0.2 }
        report.add(
          name,
          cells[0].0.formatted(0),
          cells[0].1.formatted(0),
          cells[0].2.formatted(0),
          cells[1].0.formatted(0),
          cells[1].1.formatted(0),
          cells[1].2.formatted(0),
          (sums[0] / max(sums[1], 1)).formatted(2)
        )
      }
      report.print()
    }
  }
}
