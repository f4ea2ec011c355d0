import LibPQ
import Tidemark
import TidemarkPostgres

/// The table `orders` that a drill writes to, and beside it a journal of every committed change, written by the
/// same transactions and independent of the stream: what must have been delivered in the end.
package struct OrdersTable: Sendable {
  private let pool: PQPool
  package let name: String
  private let journalName: String

  package init(_ pool: PQPool, name: String = "orders") {
    self.pool = pool
    self.name = name
    journalName = name == "orders" ? "order_journal" : name + "_journal"
  }

  package func create() async throws {
    try await pool.execute(
      """
      CREATE TABLE \(identifier: name) (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        customer integer NOT NULL, status text NOT NULL, amount numeric(10, 2) NOT NULL,
        version bigint NOT NULL DEFAULT 1)
      """
    )
    try await pool.execute(
      "CREATE TABLE \(identifier: journalName) (id bigint NOT NULL, event text NOT NULL, version bigint NOT NULL)"
    )
  }

  /// One to three changes in one transaction: half of them new orders, the others changes of recent ones. One in
  /// twenty transactions is rolled back.
  func write(using random: inout some RandomNumberGenerator) async throws {
    let statements = (0..<Int.random(in: 1...3, using: &random)).map { _ in change(using: &random) }
    let rollsBack = Int.random(in: 0..<20, using: &random) == 0
    do {
      try await pool.transaction { transaction in
        for statement in statements { try await transaction.execute(statement) }
        if rollsBack { throw RolledBack() }
      }
    } catch is RolledBack {}
  }

  private struct RolledBack: Error {}

  private func change(using random: inout some RandomNumberGenerator) -> PQStatement {
    let back = Int64.random(in: 0..<100, using: &random)
    let customer = Int64.random(in: 1...50, using: &random)
    let amount = Int64.random(in: 100...100_000, using: &random)
    switch Int.random(in: 0..<10, using: &random) {
    case 0..<5:
      return """
        WITH changed AS (
          INSERT INTO \(identifier: name) (customer, status, amount) VALUES (\(customer)::int, 'placed', \(amount) / 100.0)
          RETURNING id, version)
        INSERT INTO \(identifier: journalName) SELECT id, 'INSERT', version FROM changed
        """
    case 5..<9:
      return """
        WITH changed AS (
          UPDATE \(identifier: name) SET status = 'paid', amount = \(amount) / 100.0, version = version + 1
          WHERE id = (SELECT max(id) - \(back) FROM \(identifier: name)) RETURNING id, version)
        INSERT INTO \(identifier: journalName) SELECT id, 'MODIFY', version FROM changed
        """
    default:
      return """
        WITH changed AS (
          DELETE FROM \(identifier: name) WHERE id = (SELECT max(id) - \(back) FROM \(identifier: name)) RETURNING id, version)
        INSERT INTO \(identifier: journalName) SELECT id, 'REMOVE', version FROM changed
        """
    }
  }

  /// Every committed change, for each order in the order in which it happened.
  package func journal() async throws -> [Int64: [OrderChange]] {
    let rows = try await pool.query(
      "SELECT id, event, version FROM \(identifier: journalName) ORDER BY id, version, event = 'REMOVE'"
    )
    var journal: [Int64: [OrderChange]] = [:]
    for row in rows {
      let (id, event, version) = try row.decode((Int64, String, Int64).self)
      guard let event = Change.EventName(rawValue: event) else { continue }
      journal[id, default: []].append(OrderChange(order: id, event: event, version: version))
    }
    return journal
  }
}
