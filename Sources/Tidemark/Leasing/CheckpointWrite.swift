/// A checkpoint and the right to write it.
public struct CheckpointWrite: Sendable, Hashable {
  public var grant: LeaseGrant
  public var checkpoint: Checkpoint
  /// A place that the writer knows the lease has come to. A store that has come back without that refuses the write:
  /// whatever was done along with what is lost would otherwise be passed.
  public var from: Checkpoint

  /// - Parameter from: by default wherever the lease is.
  public init(grant: LeaseGrant, checkpoint: Checkpoint, from: Checkpoint = .latest) {
    self.grant = grant
    self.checkpoint = checkpoint
    self.from = from
  }
}
