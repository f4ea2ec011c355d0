import Synchronization
import Testing
import Tidemark
import TidemarkTestKit

@Suite("The in-memory lease store does what every lease store must")
struct InMemoryConformanceTests {
  @Test(arguments: LeaseStoreConformance.cases)
  func conforms(_ test: LeaseStoreConformance.Case) async throws {
    try await test.run(in: InMemoryEnvironment())
  }

  @Test("Each case has a name of its own")
  func names() {
    let names = LeaseStoreConformance.cases.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(names.count >= 45)
  }
}

@Suite("The in-memory lease store's transactions do what every transaction with a checkpoint must")
struct InMemoryTransactionConformanceTests {
  @Test(arguments: CheckpointTransactionConformance.cases)
  func conforms(_ test: CheckpointTransactionConformance.Case) async throws {
    try await test.run(in: InMemoryEnvironment())
  }
}

private struct InMemoryEnvironment: CheckpointTransactionEnvironment {
  let failoverInterval = Duration.seconds(10)
  let confirmsCommits = true
  private let effects = Effects()
  private let clock: ManualClock
  private let store: InMemoryLeaseStore

  init() {
    clock = ManualClock()
    store = InMemoryLeaseStore(clock: clock)
  }

  func makeStore() -> any LeaseStore {
    InMemoryLeaseStore(sharing: store)
  }

  func pass(_ duration: Duration) async {
    clock.advance(by: duration)
    for _ in 1...10 { await Task.yield() }
  }

  func transaction(
    writing effect: String,
    _ body: @escaping @Sendable (any CheckpointTransaction) async throws -> Void
  ) async throws {
    try await store.transaction { transaction in
      transaction.stage { effects.names.withLock { _ = $0.insert(effect) } }
      try await body(transaction)
    }
  }

  func hasCommitted(_ effect: String) -> Bool { effects.names.withLock { $0.contains(effect) } }

  private final class Effects: Sendable {
    let names = Mutex<Set<String>>([])
  }

  func killSession(of incarnation: WorkerIncarnation) {
    store.killSession(of: incarnation)
  }

  func restartServer(in scope: LeaseScope) {
    store.restartServer()
  }

  func deadLetters(of key: LeaseKey, in scope: LeaseScope) -> [String] {
    store.deadLetters(of: key, in: scope).map(\.record.sequenceNumber.description)
  }
}
