/// What a worker that lives is told.
public struct HeartbeatReply: Sendable, Hashable {
  /// Rises whenever the owner of a lease of this scope changes or a handoff is requested. A worker that sees a
  /// new one reads its leases again: this, not the hints, is what it relies on.
  public var assignmentVersion: Int64
  /// How many workers of the scope are not dead; the period of looks grows with it.
  public var liveWorkers: Int
  public var history: LeaseHistory

  public init(assignmentVersion: Int64, liveWorkers: Int, history: LeaseHistory = LeaseHistory()) {
    self.assignmentVersion = assignmentVersion
    self.liveWorkers = liveWorkers
    self.history = history
  }
}
