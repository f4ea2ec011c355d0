import FleetDrill
import TestSupport
import Testing

/// Small drills, as a user runs them. Their own limits are for a machine that does nothing else. What these tests allow
/// only tells the ways apart: the end of a session, or a handoff, from a failover interval, which is 5 s.
@Suite("tidemark drill", .needsMachineAlone, .serialized)
struct DrillTests {
  @Test(
    "what a killed worker leaves is read elsewhere, at the median before its failover interval is over, and none is lost"
  )
  func kill() async throws {
    let result = try await drill("kill", rounds: 20)
    #expect(try result.measure("first record").median < 4)
    #expect(try result.measure("all its shards").median < 4)
  }

  @Test("a worker that joins gets its share")
  func join() async throws {
    #expect(try await drill("join", rounds: 2).measure("balanced").max < 60)
  }

  @Test("after SIGTERM no record is repeated and no shard stands still")
  func drain() async throws {
    let result = try await drill("drain", rounds: 3)
    #expect(try result.measure("repeated").max == 0)
    #expect(try result.measure("longest gap").median < 4)
  }

  @Test("a fleet that starts cold is balanced soon")
  func start() async throws {
    #expect(try await drill("start", rounds: 2).measure("balanced").max < 60)
  }

  @Test("a worker that was stopped past the default failover time has its checkpoints refused")
  func stale() async throws {
    let result = try await drill("stale", rounds: 1)
    #expect(try result.measure("all its shards").max < 60)
    #expect(try result.measure("accepted").max == 0)
    #expect(try result.measure("moved back").max == 0)
  }

  @Test(
    "the shards of a host that vanished are read elsewhere, because the server drops its sessions",
    .enabled(if: DrillScenario.vanish.obstacle == nil, Comment(rawValue: DrillScenario.vanish.obstacle ?? ""))
  )
  func vanish() async throws {
    let (result, commands) = try await WatchedArguments.during { try await drill("vanish", rounds: 1) }
    // It listens on the network, with a password.
    #expect(commands.contains { $0.contains("drill-worker") })
    #expect(!commands.contains(where: WatchedArguments.showPassword))
    // Without the session's settings the server would keep it for hours.
    #expect(try result.measure("ends the worker's session").max < 60)
    #expect(try result.measure("all its shards").max < 60)
  }

  @Test("it says what it does meanwhile, and then prints a table")
  func table() async throws {
    let outcome = try await CommandLineTool().run("drill", "drain", "--rounds", "1", "--shards", "4")
    #expect(outcome.errors.contains("drain 1/1: longest gap"))
    #expect(outcome.table.first?.prefix(2) == ["SCENARIO", "MEASURED"])
    #expect(outcome.output.contains("Every change was delivered, in order."))
  }

  @Test("without a scenario, or with fewer shards than workers, it is refused")
  func refused() async throws {
    #expect(try await CommandLineTool().run("drill").status == 64)
    #expect(try await CommandLineTool().run("drill", "kill", "--shards", "2").status == 64)
  }

  /// Runs one scenario and expects that nothing is wrong with what was delivered.
  private func drill(_ scenario: String, rounds: Int) async throws -> DrillDocument {
    let outcome = try await CommandLineTool().run("drill", scenario, "--rounds", String(rounds), "--json")
    let results = try outcome.decode([DrillDocument].self)
    let result = try #require(results.first, "\(outcome.errors)")
    #expect(results.count == 1)
    #expect(result.scenario == scenario)
    #expect(result.violations == [])
    #expect(result.measures.allSatisfy { $0.n == rounds })
    // Its limits are its own affair, but the exit code must say whether they were kept.
    #expect(outcome.status == (result.isGood ? 0 : 1))
    return result
  }
}

/// What `tidemark drill --json` prints for one scenario.
struct DrillDocument: Decodable {
  struct Measure: Decodable {
    var name: String
    var n: Int
    var median: Double
    var max: Double
  }

  var scenario: String
  var isGood: Bool
  var violations: [String]
  var measures: [Measure]

  func measure(_ part: String) throws -> Measure {
    try #require(measures.first { $0.name.contains(part) })
  }
}
