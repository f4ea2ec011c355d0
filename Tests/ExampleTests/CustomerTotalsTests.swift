import Foundation
import LocalPostgres
import TestSupport
import Testing

@Suite("The example CustomerTotals", .needsMachineAlone)
struct CustomerTotalsTests {
  @Test(
    "its totals equal the orders exactly after its workers were killed at 50 random moments"
  )
  func kills() async throws {
    try await withExampleServer { url in
      let shop = try Shop(url)
      var workers = [
        try ExampleProcess("CustomerTotals", database: url),
        try ExampleProcess("CustomerTotals", database: url),
      ]
      try await shop.waitUntilOpen(workers[0])
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 1...4 { group.addTask { try await shop.writeUntilCancelled() } }
        for _ in 1...50 {
          let victim = Int.random(in: 0...1)
          // A kill that hits no worker at work would prove nothing.
          try await shop.waitForProgress(of: workers[victim], since: [:])
          try await Task.sleep(for: .milliseconds(Int.random(in: 0...100)))
          workers[victim].send(SIGKILL)
          #expect(try await workers[victim].waitUntilExit() == .init(status: SIGKILL, isSignal: true))
          workers[victim] = try ExampleProcess("CustomerTotals", database: url)
        }
        group.cancelAll()
        try await group.waitForAll()
      }
      workers.removeLast().send(SIGKILL)
      try await eventually("the last worker has caught up") {
        try await shop.customerTotals() == shop.totalsOfOrders()
      }
      workers[0].send(SIGTERM)
      #expect(try await workers[0].waitUntilExit() == .init(status: 0, isSignal: false))
      let totals = try await shop.customerTotals()
      #expect(totals.count == 20)
      #expect(try await totals == shop.totalsOfOrders())
    }
  }
}
