/// The store's answer to the heartbeat of a worker that lives.
public struct HeartbeatReply: Sendable, Hashable {
  /// Rises whenever the owner of a lease of this scope changes or a handoff is requested. A worker that sees a
  /// new one reads its leases again: this, not the hints, is what it relies on.
  public var assignmentVersion: Int64
  /// How many workers of the scope are not dead; the period of looks grows with it.
  public var liveWorkers: Int
  public var history: LeaseHistory
  /// The version of the streams that the store knows the worker to serve; see ``LeaseStore/serve(_:version:as:in:)``.
  public var streamsVersion: Int64

  public init(
    assignmentVersion: Int64,
    liveWorkers: Int,
    history: LeaseHistory = LeaseHistory(),
    streamsVersion: Int64 = 0
  ) {
    self.assignmentVersion = assignmentVersion
    self.liveWorkers = liveWorkers
    self.history = history
    self.streamsVersion = streamsVersion
  }
}
