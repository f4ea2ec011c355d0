/// A lease that does not exist yet.
public struct NewLease: Sendable, Hashable {
  public var key: LeaseKey
  public var parentShardIDs: [String]
  public var hashRange: Shard.HashRange?
  /// Where reading starts.
  public var checkpoint: Checkpoint

  public var stream: String { key.stream }
  public var shardID: String { key.shardID }

  public init(stream: String, shard: Shard, checkpoint: Checkpoint) {
    key = LeaseKey(stream: stream, shardID: shard.id)
    self.parentShardIDs = shard.parentIDs
    self.hashRange = shard.hashRange
    self.checkpoint = checkpoint
  }
}
