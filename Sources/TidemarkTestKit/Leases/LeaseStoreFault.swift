import Tidemark

/// What an ``InMemoryLeaseStore`` does to one call.
public struct LeaseStoreFault: Sendable, Hashable {
  public enum Outcome: Sendable, Hashable {
    /// The call is done and answered.
    case answered
    /// It is not done, and the error says so: `storeUnavailable`.
    case refused
    /// It is not done, and the caller cannot know: `outcomeUnknown`.
    case requestLost
    /// It is done, and the caller cannot know: `outcomeUnknown`.
    case replyLost
  }

  public var outcome: Outcome
  /// How long the request is on its way.
  public var delayBefore: Duration
  /// How long a planning round pauses between its reading and its writing.
  public var delayInside: Duration
  /// How long the answer is on its way.
  public var delayAfter: Duration

  public init(
    _ outcome: Outcome = .answered,
    delayBefore: Duration = .zero,
    delayInside: Duration = .zero,
    delayAfter: Duration = .zero
  ) {
    self.outcome = outcome
    self.delayBefore = delayBefore
    self.delayInside = delayInside
    self.delayAfter = delayAfter
  }

  public static let none = LeaseStoreFault()
}

/// A call to a lease store, as a fault injector sees it.
public struct LeaseStoreCall: Sendable, Hashable {
  public enum Method: String, Sendable, CaseIterable {
    case register, serve, heartbeat, look, deregister, plan
    case createLeases, leases, leasesOwnedBy, lease, workers
    case checkpoint, prepareCheckpoint, endShard, transfer, stop, deadLetter
    /// Of a transaction; see ``InMemoryLeaseStore/transaction(_:)``.
    case commit
    case reset, deleteEndedLeases
  }

  public var method: Method
  /// The worker that calls, where the call says it.
  public var incarnation: WorkerIncarnation?

  public init(_ method: Method, by incarnation: WorkerIncarnation? = nil) {
    self.method = method
    self.incarnation = incarnation
  }
}
