import LibPQ
import Tidemark
import TidemarkPostgres

/// Keeps `customer_total` equal to
/// `SELECT customer, count(*), sum(cents) FROM orders GROUP BY customer`.
struct CustomerTotals: RecordProcessor {
  static let table = """
    CREATE TABLE IF NOT EXISTS customer_total (
      customer text PRIMARY KEY,
      orders bigint NOT NULL,
      cents bigint NOT NULL
    );
    """

  struct Order: Decodable {
    var customer: String
    var cents: Int
  }

  var pool: PQPool

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    var totals = Totals()
    for change in batch.compactMap(\.change) {
      if let before = try change.oldImage(as: Order.self) { totals.subtract(before) }
      if let after = try change.newImage(as: Order.self) { totals.add(after) }
    }
    let lines = try await pool.transaction { transaction in
      let lines = try await totals.apply(in: transaction)
      // The totals and the checkpoint that says what they include commit together or not at all.
      try await checkpointer.checkpoint(in: transaction)
      return lines
    }
    print(lines.joined(separator: "\n"))
  }
}
