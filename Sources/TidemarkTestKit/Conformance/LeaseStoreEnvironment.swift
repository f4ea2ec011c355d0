import Tidemark

/// What the conformance suite needs beside a store: the hand of fate.
public protocol LeaseStoreEnvironment: Sendable {
  /// A failover interval that cases can afford to wait for several times. Heartbeats are sent at a tenth of it.
  var failoverInterval: Duration { get }

  /// Another process's store on the same tables, with nothing of the scope in them yet.
  func makeStore() async throws -> any LeaseStore

  /// Lets time pass on the store's clock.
  func pass(_ duration: Duration) async throws

  /// Ends a worker's session as the death of its process does, and returns once the store has noticed.
  func killSession(of incarnation: WorkerIncarnation) async throws

  /// Ends all sessions of the scope at once, as a restart of the store's server does.
  func restartServer(in scope: LeaseScope) async throws

  /// The sequence numbers in the dead-letter queue of a shard, in order.
  func deadLetters(of key: LeaseKey, in scope: LeaseScope) async throws -> [String]
}
