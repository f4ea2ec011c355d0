import LibPQ
import Synchronization
import Tidemark

/// Steady writes to the table `orders`.
package final class OrdersLoad: Sendable {
  private let table: OrdersTable
  private let writers: Int
  private let transactionsPerSecond: Int
  private let isStopped = Mutex(false)
  private let count = Atomic<Int>(0)
  private let longest = Mutex(Duration.zero)

  /// - Parameter transactionsPerSecond: of all writers together.
  package init(_ table: OrdersTable, writers: Int = 4, transactionsPerSecond: Int = 200) {
    self.table = table
    self.writers = writers
    self.transactionsPerSecond = transactionsPerSecond
  }

  /// Transactions so far.
  package var transactions: Int { count.load(ordering: .relaxed) }

  /// How long the slowest of them took.
  package var slowest: Duration { longest.withLock { $0 } }

  package func stop() { isStopped.withLock { $0 = true } }

  /// Writes until ``stop()`` or cancellation. It waits for a database that is away.
  package func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<writers { group.addTask { try await self.write() } }
      try await group.waitForAll()
    }
  }

  private func write() async throws {
    var random = SystemRandomNumberGenerator()
    let clock = ContinuousClock()
    let interval = Duration.seconds(1) * writers / transactionsPerSecond
    var next = clock.now
    while !isStopped.withLock({ $0 }) {
      let began = clock.now
      do {
        try await table.write(using: &random)
        longest.withLock { $0 = max($0, began.duration(to: clock.now)) }
        count.add(1, ordering: .relaxed)
      } catch let error as PQError where error.isRetryable || error.isOutcomeUnknown {
        // The journal says what was committed, so an unknown outcome needs no care.
        try await clock.sleep(for: .milliseconds(20))
      }
      next = max(next.advanced(by: interval), clock.now.advanced(by: .zero - interval * 5))
      try await clock.sleep(until: next, tolerance: nil)
    }
  }
}
