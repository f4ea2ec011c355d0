/// What a worker says of itself when it registers.
public struct WorkerRegistration: Sendable, Hashable {
  public var scope: LeaseScope
  /// The streams that the worker serves: no plan gives it leases of others. ``LeaseStore/serve(_:version:as:in:)`` changes them.
  public var streams: Set<String>
  /// The worker's name, for people; it need not be unique.
  public var workerID: String
  public var host: String
  public var processID: Int32
  /// How long after its last heartbeat the worker may be declared dead.
  public var failoverInterval: Duration
  /// How many leases it will take at most; `nil` for no limit.
  public var maximumLeases: Int?

  public init(
    scope: LeaseScope,
    streams: Set<String>,
    workerID: String,
    host: String,
    processID: Int32,
    failoverInterval: Duration,
    maximumLeases: Int? = nil
  ) {
    self.scope = scope
    self.streams = streams
    self.workerID = workerID
    self.host = host
    self.processID = processID
    self.failoverInterval = failoverInterval
    self.maximumLeases = maximumLeases
  }
}
