/// What a look found.
public struct LookReply: Sendable, Hashable {
  /// Whether something has happened that no plan has seen yet.
  public var needsPlan: Bool
  /// See ``HeartbeatReply/assignmentVersion``.
  public var assignmentVersion: Int64
  public var history: LeaseHistory

  public init(needsPlan: Bool, assignmentVersion: Int64, history: LeaseHistory = LeaseHistory()) {
    self.needsPlan = needsPlan
    self.assignmentVersion = assignmentVersion
    self.history = history
  }
}
