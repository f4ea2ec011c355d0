import ArgumentParser
import BenchmarkSupport
import Tidemark
import TidemarkPostgres

/// Fenced checkpoints through one connection, each batch durable before the next is sent.
struct CheckpointBenchmark: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoints",
    abstract: "Checkpoints a second on one connection, one at a time and gathered."
  )

  @Option(help: "How many leases the checkpoints are of.")
  var leases = 10_000

  @Option(help: "How many seconds each batch size runs in each of 5 rounds.")
  var seconds = 2.0

  private struct Rate {
    var perSecond: Double
    /// CPU microseconds a checkpoint.
    var client: Double
    var server: Double
  }

  private static let peers = [1: "4,715", 10: "24,340", 100: "94,425", 1000: "132,469"]

  func run() async throws {
    try await BenchmarkDatabase.with(connections: 1) { database in
      let fleet = try await LeaseFleet(workers: 1, leases: leases, in: database)
      let grants = try await fleet.grants()
      let server = try await database.serverProcess()
      var sequence: UInt64 = 1_000_000_000_000
      let sizes = [1, 10, 100, 1000]
      var rates: [Int: [Rate]] = [:]
      for round in 0...5 {
        for size in sizes {
          let rate = try await rate(of: size, grants, fleet, server: server, &sequence)
          // The first round fills caches.
          if round > 0 { rates[size, default: []].append(rate) }
        }
      }
      print(rates, sizes)
    }
  }

  private func rate(
    of size: Int,
    _ grants: [LeaseGrant],
    _ fleet: LeaseFleet,
    server: Int,
    _ sequence: inout UInt64
  ) async throws -> Rate {
    let clock = ContinuousClock()
    let (start, before) = (clock.now, Usage.now(server: server))
    var (written, next) = (0, 0)
    while start.duration(to: clock.now).seconds < seconds {
      sequence += 1
      let writes = (0..<size).map { index in
        CheckpointWrite(
          grant: grants[(next + index) % grants.count],
          checkpoint: .record(SequenceNumber(sequence))
        )
      }
      next += size
      let outcomes = try await fleet.store.checkpoint(writes)
      guard outcomes.allSatisfy({ $0 == .accepted }) else {
        throw BenchmarkFailure("a checkpoint was refused")
      }
      written += size
    }
    let (time, used) = (start.duration(to: clock.now).seconds, Usage.now(server: server) - before)
    return Rate(
      perSecond: Double(written) / time,
      client: used.client * 1e6 / Double(written),
      server: used.server * 1e6 / Double(written)
    )
  }

  private func print(_ rates: [Int: [Rate]], _ sizes: [Int]) {
    var report = Report(
      "Fenced checkpoints on one connection, synchronous_commit on; medians of 5, in turns",
      "batch",
      "checkpoints/s",
      "of one at a time",
      "CPU µs client",
      "server",
      "required",
      "from C"
    )
    let single = median((rates[1] ?? []).map(\.perSecond)) ?? 1
    for size in sizes {
      let rates = rates[size] ?? []
      let perSecond = median(rates.map(\.perSecond)) ?? 0
      report.add(
        "\(size)",
        Int(perSecond).grouped,
        "\((perSecond / single).formatted(1))×",
        (median(rates.map(\.client)) ?? 0).formatted(1),
        (median(rates.map(\.server)) ?? 0).formatted(1),
        size >= 100 ? "50,000" : "",
        Self.peers[size] ?? ""
      )
    }
    report.print()
  }
}
