/// What a look found.
public struct LookReply: Sendable, Hashable {
  /// Whether something has happened that no plan has seen yet.
  public var needsPlan: Bool
  /// See ``HeartbeatReply/assignmentVersion``.
  public var assignmentVersion: Int64

  public init(needsPlan: Bool, assignmentVersion: Int64) {
    self.needsPlan = needsPlan
    self.assignmentVersion = assignmentVersion
  }
}
