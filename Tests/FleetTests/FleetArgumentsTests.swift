import FleetDrill
import LocalPostgres
import Synchronization
import TestSupport
import Testing

@Suite("What other users see of a fleet", .needsMachineAlone, .serialized)
struct FleetArgumentsTests {
  @Test(
    "no process of a fleet, its server or its standby has the server's password among its arguments",
    .enabled(if: WatchedArguments.canBeSeen)
  )
  func arguments() async throws {
    let (password, commands) = try await WatchedArguments.during {
      let password = Mutex("")
      try await FleetUnderTest.run(standby: .asynchronous) { test in
        let url = test.server.url()
        let found = try #require(url.firstMatch(of: /:([^:@]+)@/))
        password.withLock { $0 = String(found.1) }
        try await test.server.createDatabase("another")
        _ = try test.start("a")
        try await test.fleet.wait("records are handled") {
          try test.fleet.history().contains { $0.kind == .handled }
        }
        _ = try await test.finish()
      }
      return password.withLock { $0 }
    }
    #expect(password.count > 10)
    for program in ["initdb", "pg_basebackup", "postgres", "createdb", "drill-worker"] {
      #expect(commands.contains { $0.contains(program) }, "\(program) was not seen")
    }
    #expect(!commands.contains { $0.contains(password) || WatchedArguments.showPassword($0) })
  }
}
