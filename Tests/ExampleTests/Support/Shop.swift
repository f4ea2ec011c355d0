import LibPQ
import Logging
import TestSupport
import Testing

let quietLogger = Logger(label: "tidemark.test") { _ in SwiftLogNoOpLogHandler() }

/// The tables of a running example, as a test writes to them and looks at them.
struct Shop: Sendable {
  let pool: PQPool

  init(_ url: String) throws {
    pool = PQPool(try PQConfiguration(url: url), maximumConnections: 8, logger: quietLogger)
  }

  /// Waits until the example has made its tables and its worker owns leases.
  func waitUntilOpen(_ example: ExampleProcess) async throws {
    try await eventually("the example's worker owns leases") {
      guard example.isRunning else { throw ExampleEnded(output: example.output) }
      let isMigrated: Bool = try await pool.query("SELECT to_regclass('tidemark_leases.lease') IS NOT NULL")[
        0
      ]
      .decode()
      guard isMigrated else { return false }
      return try await !checkpoints(of: example).isEmpty
    }
  }

  /// The leases that a process owns, by shard and epoch, with the sequence number that each has reached.
  func checkpoints(of example: ExampleProcess) async throws -> [String: Int] {
    let rows = try await pool.query(
      """
      SELECT l.shard_id || '@' || l.epoch, CASE WHEN l.checkpoint ~ '^[0-9]+$' THEN l.checkpoint::bigint ELSE 0 END
      FROM tidemark_leases.lease AS l JOIN tidemark_leases.worker AS w ON w.incarnation = l.owner
      WHERE w.process_id = \(example.processID)
      """
    )
    return Dictionary(uniqueKeysWithValues: try rows.map { try $0.decode((String, Int).self) })
  }

  /// Waits until the process itself has moved a checkpoint.
  func waitForProgress(of example: ExampleProcess, since start: [String: Int]) async throws {
    var earlier = start
    try await eventually("\(example.processID) moves a checkpoint") {
      guard example.isRunning else { throw ExampleEnded(output: example.output) }
      let now = try await checkpoints(of: example)
      let hasMoved = now.contains { key, number in earlier[key].map { number > $0 } ?? false }
      earlier.merge(now) { first, _ in first }
      return hasMoved
    }
  }

  func writeUntilCancelled() async throws {
    while !Task.isCancelled {
      do {
        try await write()
        try await Task.sleep(for: .milliseconds(5))
      } catch  where Task.isCancelled {
        return
      }
    }
  }

  /// One write: an order comes, changes its customer or its amount, or is withdrawn.
  private func write() async throws {
    let customer = "customer \(Int.random(in: 1...20))"
    let cents = Int.random(in: 1...10_000)
    let number = Int.random(in: 1...1_000_000)
    let chosen: PQStatement =
      "SELECT id FROM orders WHERE id >= \(number) % (SELECT coalesce(max(id), 0) + 1 FROM orders) LIMIT 1"
    let id = try await pool.query(chosen).first?.decode(Int.self)
    switch (Int.random(in: 1...10), id) {
    case (1...2, let id?): try await pool.execute("DELETE FROM orders WHERE id = \(id)")
    case (3...5, let id?): try await pool.execute("UPDATE orders SET customer = \(customer) WHERE id = \(id)")
    case (6, let id?): try await pool.execute("UPDATE orders SET cents = \(cents) WHERE id = \(id)")
    default: try await pool.execute("INSERT INTO orders (customer, cents) VALUES (\(customer), \(cents))")
    }
  }

  /// What `customer_total` must hold.
  func totalsOfOrders() async throws -> [String] {
    try await lines(
      "SELECT customer, count(*), sum(cents)::bigint FROM orders GROUP BY customer ORDER BY customer"
    )
  }

  func customerTotals() async throws -> [String] {
    try await lines("SELECT customer, orders, cents FROM customer_total ORDER BY customer")
  }

  private func lines(_ statement: PQStatement) async throws -> [String] {
    try await pool.query(statement).map { row in
      let (customer, orders, cents) = try row.decode((String, Int, Int).self)
      return "\(customer): \(orders) orders, \(cents) cents"
    }
  }
}

/// An example ended that should not have.
struct ExampleEnded: Error, CustomStringConvertible {
  var output: String

  var description: String { "The example ended early, saying:\n\(output)" }
}
