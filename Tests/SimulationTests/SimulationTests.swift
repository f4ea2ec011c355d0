import Foundation
import Testing

@testable import Simulation

@Suite("Simulated fleets")
struct SimulationTests {
  @Test("a few seeds come to rest without breaking a promise", arguments: 1...12 as ClosedRange<UInt64>)
  func seed(_ seed: UInt64) {
    let outcome = World(Scenario(seed: seed, duration: .seconds(600))).run()
    #expect(outcome.violation == nil)
    #expect(outcome.records > 0)
  }

  @Test("without faults every record is attempted once, and nothing else happens")
  func calm() {
    let outcome = World(Scenario(seed: 3, duration: .seconds(600), only: [])).run()
    #expect(outcome.violation == nil)
    #expect(outcome.faults.isEmpty)
    #expect(outcome.marks[.recordRetried] == nil && outcome.marks[.staleWriteRefused] == nil)
  }

  @Test("one seed has the same history in three processes, another has another")
  func replay() throws {
    let hashes = try (0..<3).map { _ in try history(of: 11) }
    #expect(Set(hashes).count == 1)
    #expect(try history(of: 12) != hashes[0])
  }

  /// The line with the hash that the command prints for a seed. Hashing is seeded again in each process, so nothing
  /// that depends on the layout of a dictionary would be the same.
  private func history(of seed: UInt64) throws -> String {
    let bundle = try #require(Bundle.main.executablePath)
    let directory = URL(fileURLWithPath: bundle).deletingLastPathComponent()
    let (status, output) = try MutantBuild.run(
      directory.appendingPathComponent("Simulation").path,
      ["--seed", String(seed), "--minutes", "10"],
      captured: true
    )
    #expect(status == 0, "\(output)")
    return try #require(output.split(separator: "\n").first { $0.hasPrefix("history ") }.map(String.init))
  }
}
