/// A lease that does not exist yet.
public struct NewLease: Sendable, Hashable {
  public var shardID: String
  public var parentShardIDs: [String]
  public var hashRange: Shard.HashRange?
  /// Where reading starts.
  public var checkpoint: Checkpoint

  public init(shard: Shard, checkpoint: Checkpoint) {
    self.shardID = shard.id
    self.parentShardIDs = shard.parentIDs
    self.hashRange = shard.hashRange
    self.checkpoint = checkpoint
  }
}
