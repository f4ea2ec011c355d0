public struct LookReply: Sendable, Hashable {
  public var needsPlan: Bool
  public var assignmentVersion: Int64

  public init(needsPlan: Bool, assignmentVersion: Int64) {
    self.needsPlan = needsPlan
    self.assignmentVersion = assignmentVersion
  }
}
