import FleetDrill
import Foundation
import LibPQ
import LocalPostgres
import Logging
import TestSupport
import Testing
import TidemarkPostgres

@Suite("A worker without a database", .needsMachineAlone, .serialized)
struct AbsentDatabaseTests {
  @Test("a worker that starts before its database waits for it, says so, and then works")
  func downAtStart() async throws {
    let files = try TemporaryDirectory()
    defer { withExtendedLifetime(files) {} }
    let directory = files.path
    var configuration = LocalPostgresConfiguration()
    configuration.directory = directory + "/postgres"

    var server = try await LocalPostgres.start(configuration)
    let url = server.url()
    let fleet = try await DrillFleet(
      database: url,
      executable: try FleetUnderTest.executable(),
      directory: directory
    )
    await server.stop()

    let worker = try fleet.start("early")
    defer { worker.crash() }
    try await fleet.wait("the worker says that it waits") {
      let log = try String(contentsOfFile: directory + "/early.log", encoding: .utf8)
      return log.contains("could not find the streams, trying again")
    }
    #expect(worker.isRunning)

    server = try await LocalPostgres.start(configuration)
    #expect(server.url() == url)
    let load = OrdersLoad(fleet.table, transactionsPerSecond: 100)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await load.run() }
      try await fleet.wait("records are handled") { try fleet.history().count { $0.kind == .handled } > 50 }
      load.stop()
      try await group.waitForAll()
    }
    try await fleet.waitUntilConsumed()
    worker.terminate()
    try await worker.waitUntilExit()
    #expect(worker.exitStatus == 0)
    await fleet.pool.close()
    await server.stop()
  }
}
