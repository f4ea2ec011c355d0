import ArgumentParser
import FleetDrill
import Foundation
import LibPQ
import LocalPostgres
import Logging
import Tidemark

/// `tidemark demo`: a fleet of real processes over a real table, with a split, a crash and a pause, and a check of
/// everything that was delivered.
struct Demo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Show a fleet: three workers, a split, a crash, a pause, a drain, and a check of what was delivered.",
    discussion: """
      Starts a private PostgreSQL in a temporary directory, writes to a table, and stops everything at the end. \
      Takes about half a minute. Exits with 1 if the check finds anything wrong.
      """
  )

  @Option(help: "Transactions per second that are written to the table.")
  var rate = 200

  @Option(help: "Workers' failover interval in seconds: how long a paused worker keeps its shards.")
  var failoverInterval = 3

  func validate() throws {
    guard (1...5000).contains(rate) else { throw ValidationError("--rate must be within 1 and 5000.") }
    guard (1...60).contains(failoverInterval) else {
      throw ValidationError("--failover-interval must be within 1 and 60 seconds.")
    }
  }

  func run() async throws {
    let isGood = try await endingOnSignals { try await play() }
    if !isGood { throw ExitCode.failure }
  }

  private func play() async throws -> Bool {
    let directory = try PrivateFiles.makeTemporaryDirectory("tidemark-demo")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    print("Starting a private PostgreSQL …")
    return try await withLocalPostgres { server in
      let fleet = try await DrillFleet(
        database: server.url(),
        executable: try ownExecutable(),
        directory: directory,
        options: ["--failover-milliseconds", String(failoverInterval * 1000)]
      )
      let play = DemoPlay(fleet: fleet, view: FleetView(), rate: rate)
      defer { fleet.killAll() }
      let isGood = try await play.run()
      await fleet.pool.close()
      return isGood
    }
  }
}
