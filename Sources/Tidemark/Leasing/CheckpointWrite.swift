/// A checkpoint and the right to write it.
public struct CheckpointWrite: Sendable, Hashable {
  public var grant: LeaseGrant
  public var checkpoint: Checkpoint

  public init(grant: LeaseGrant, checkpoint: Checkpoint) {
    self.grant = grant
    self.checkpoint = checkpoint
  }
}
