import LibPQ

/// What a batch changes in `customer_total`.
struct Totals {
  private var orders: [String: Int] = [:]
  private var cents: [String: Int] = [:]

  mutating func add(_ order: CustomerTotals.Order) {
    orders[order.customer, default: 0] += 1
    cents[order.customer, default: 0] += order.cents
  }

  mutating func subtract(_ order: CustomerTotals.Order) {
    orders[order.customer, default: 0] -= 1
    cents[order.customer, default: 0] -= order.cents
  }

  /// - Returns: the new totals, as lines to print.
  func apply(in transaction: PQTransaction) async throws -> [String] {
    // In the same order everywhere, or the processors of two shards could wait for each other's rows.
    let customers = orders.keys.sorted()
    let rows = try await transaction.query(
      """
      INSERT INTO customer_total AS t (customer, orders, cents)
      SELECT * FROM unnest(
        \(customers), \(customers.map { orders[$0] ?? 0 }), \(customers.map { cents[$0] ?? 0 }))
      ON CONFLICT (customer) DO UPDATE SET orders = t.orders + excluded.orders, cents = t.cents + excluded.cents
      RETURNING customer, orders, cents
      """
    )
    try await transaction.execute(
      "DELETE FROM customer_total WHERE orders = 0 AND customer = ANY (\(customers))"
    )
    return try rows.map { row in
      let (customer, orders, cents) = try row.decode((String, Int, Int).self)
      return "\(customer): \(orders) orders, \(cents) cents"
    }
  }
}
