/// What a processor knows about its shard.
public struct ShardContext: Sendable {
  /// The lease that this worker was granted; its epoch is the fencing token.
  public var grant: LeaseGrant
  /// Reading starts after this.
  public var checkpoint: Checkpoint
  /// What the last owner prepared and did not commit.
  public var pendingCheckpoint: Lease.PendingCheckpoint?

  public var application: String { grant.scope.application }
  public var stream: String { grant.stream }
  public var shardID: String { grant.shardID }
  public var epoch: Epoch { grant.epoch }

  private let setWakeUp: WakeUpRequest

  public init(grant: LeaseGrant, checkpoint: Checkpoint, pendingCheckpoint: Lease.PendingCheckpoint? = nil) {
    self.init(
      grant: grant,
      checkpoint: checkpoint,
      pendingCheckpoint: pendingCheckpoint,
      setWakeUp: { _ in }
    )
  }

  package init(
    grant: LeaseGrant,
    checkpoint: Checkpoint,
    pendingCheckpoint: Lease.PendingCheckpoint?,
    setWakeUp: @escaping WakeUpRequest
  ) {
    self.grant = grant
    self.checkpoint = checkpoint
    self.pendingCheckpoint = pendingCheckpoint
    self.setWakeUp = setWakeUp
  }

  /// See ``Checkpointer/wakeUp(after:)``: for ``RecordProcessor/initialize(_:)``, which may have to complete in time what
  /// the last owner prepared, though no record comes.
  public func wakeUp(after time: Duration) { setWakeUp(time) }
}
