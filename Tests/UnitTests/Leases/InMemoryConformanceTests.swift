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

private struct InMemoryEnvironment: LeaseStoreEnvironment {
  let failoverInterval = Duration.seconds(10)
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
