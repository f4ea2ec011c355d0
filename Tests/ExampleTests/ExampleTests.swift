import Foundation
import LibPQ
import TestSupport
import Testing

@Suite("The examples", .needsMachineAlone)
struct ExampleTests {
  @Test(
    "each handles a change of the given database and ends in good order on SIGTERM",
    arguments: [
      ("FirstProcessor", #"INSERT {"id":1,"customer":"Ada","cents":100}"#),
      ("CustomProcessor", "order 1: Ada, 100 cents"),
      ("CustomerTotals", "Ada: 1 orders, 100 cents"),
    ]
  )
  func handlesChange(name: String, line: String) async throws {
    try await withExampleServer { url in
      let shop = try Shop(url)
      let example = try ExampleProcess(name, database: url)
      try await shop.waitUntilOpen(example)
      let before = try await shop.checkpoints(of: example)
      try await shop.pool.execute("INSERT INTO orders (customer, cents) VALUES ('Ada', 100)")
      try await shop.waitForProgress(of: example, since: before)
      example.send(SIGTERM)
      #expect(try await example.waitUntilExit() == .init(status: 0, isSignal: false))
      #expect(example.output.split(separator: "\n").contains { $0 == line }, "\(example.output)")
    }
  }

  @Test(
    "each shows something without a database, and ends in good order on Ctrl-C",
    arguments: ["FirstProcessor", "CustomProcessor", "CustomerTotals"]
  )
  func demo(name: String) async throws {
    let example = try ExampleProcess(name, database: nil)
    var url = ""
    try await eventually("the example says where its server is") {
      guard example.isRunning else { throw ExampleEnded(output: example.output) }
      url = example.output.firstMatch(of: /url=(\S+)/).map { String($0.1) } ?? ""
      return !url.isEmpty
    }
    let shop = try Shop(url)
    try await shop.waitUntilOpen(example)
    try await shop.waitForProgress(of: example, since: [:])
    await shop.pool.close()
    example.send(SIGINT)
    #expect(try await example.waitUntilExit() == .init(status: 0, isSignal: false))
  }

  @Test("an order that makes no sense goes to the dead-letter queue, and the next is handled")
  func deadLetter() async throws {
    try await withExampleServer { url in
      let shop = try Shop(url)
      let example = try ExampleProcess("CustomProcessor", database: url)
      try await shop.waitUntilOpen(example)
      try await shop.pool.execute("INSERT INTO orders (customer, cents) VALUES ('Ada', -1)")
      try await eventually("a dead letter") {
        let count: Int = try await shop.pool.query("SELECT count(*) FROM tidemark_leases.dead_letter")[0]
          .decode()
        return count > 0
      }
      let before = try await shop.checkpoints(of: example)
      // The same item, so that it is in the same shard.
      try await shop.pool.execute("UPDATE orders SET cents = 100")
      try await shop.waitForProgress(of: example, since: before)
      let letters = try await shop.pool.query("SELECT attempts::bigint FROM tidemark_leases.dead_letter")
      #expect(try letters.map { try $0.decode(Int.self) } == [3])
      example.send(SIGTERM)
      #expect(try await example.waitUntilExit() == .init(status: 0, isSignal: false))
      #expect(example.output.contains("order 1: Ada, 100 cents"))
    }
  }
}
