import LibPQ
import ServiceLifecycle

extension ExampleDatabase {
  /// Writes to `orders`, a few times a second, until a graceful shutdown.
  func writeOrders() async throws {
    while !Task.isShuttingDownGracefully {
      try await pool.execute(Self.randomWrite())
      try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .milliseconds(400)) }
      try Task.checkCancellation()
    }
  }

  private static func randomWrite() -> PQStatement {
    let customer = ["Ada", "Barbara", "Edsger", "Grace"].randomElement()
    // Now and then an amount that makes no sense, for the example that refuses such orders.
    let cents = Int.random(in: 1...10) == 1 ? -1 : Int.random(in: 100...10_000)
    switch Int.random(in: 1...10) {
    case 1:
      return "DELETE FROM orders WHERE id = (SELECT id FROM orders ORDER BY random() LIMIT 1)"
    case 2...3:
      return """
        UPDATE orders SET customer = \(customer)
        WHERE id = (SELECT id FROM orders ORDER BY random() LIMIT 1)
        """
    default:
      return "INSERT INTO orders (customer, cents) VALUES (\(customer), \(cents))"
    }
  }
}
