import Tidemark

/// What an application has on a stream, counted.
public struct LeaseScopeSummary: Sendable, Hashable {
  public var application: String
  public var stream: String
  /// The workers that serve the stream and are not dead.
  public var liveWorkers: Int
  public var leases: Int
  public var ownedLeases: Int
  public var endedLeases: Int
  public var stoppedLeases: Int
  /// The most of any lease that has not ended; `nil` until one was measured.
  public var millisBehindLatest: Int64?
  public var deadLetters: Int
}
