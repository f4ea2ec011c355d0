/// A row of the lease table: the owner of a shard, and how far it has been read.
public struct Lease: Sendable, Hashable {
  /// What a processor prepared and has not committed yet.
  public struct PendingCheckpoint: Sendable, Hashable {
    public var checkpoint: Checkpoint
    /// The application's own note to whoever owns the lease next.
    public var state: [UInt8]

    public init(checkpoint: Checkpoint, state: [UInt8]) {
      self.checkpoint = checkpoint
      self.state = state
    }
  }

  /// What is measured of a shard while it is read.
  public struct Load: Sendable, Hashable {
    /// Seconds of processing per second; 1 is a processor that never rests.
    public var processing: Double
    /// Payload bytes per second.
    public var bytesPerSecond: Double

    public init(processing: Double, bytesPerSecond: Double) {
      self.processing = processing
      self.bytesPerSecond = bytesPerSecond
    }
  }

  public var key: LeaseKey
  public var parentShardIDs: [String]
  /// Filled when the shard ended.
  public var childShardIDs: [String]
  public var hashRange: Shard.HashRange?
  public var owner: WorkerIncarnation?
  /// The worker that owned it before; children go there by preference.
  public var lastOwner: WorkerIncarnation?
  /// The epoch under which ``lastOwner`` had it.
  public var lastEpoch: Epoch?
  public var epoch: Epoch
  public var checkpoint: Checkpoint
  public var pendingCheckpoint: PendingCheckpoint?
  /// The worker that the owner is asked to hand the lease to.
  public var handoffTo: WorkerIncarnation?
  /// Why the shard is read no more although it has not ended; an operator's reset clears it.
  public var stoppedReason: String?
  /// `nil` until it was measured.
  public var load: Load?
  public var millisBehindLatest: Int64?

  public var stream: String { key.stream }
  public var shardID: String { key.shardID }

  /// The shard is read to its end.
  public var isEnded: Bool { checkpoint == .shardEnd }

  public init(
    key: LeaseKey,
    parentShardIDs: [String] = [],
    childShardIDs: [String] = [],
    hashRange: Shard.HashRange? = nil,
    owner: WorkerIncarnation? = nil,
    lastOwner: WorkerIncarnation? = nil,
    lastEpoch: Epoch? = nil,
    epoch: Epoch = Epoch(0),
    checkpoint: Checkpoint,
    pendingCheckpoint: PendingCheckpoint? = nil,
    handoffTo: WorkerIncarnation? = nil,
    stoppedReason: String? = nil,
    load: Load? = nil,
    millisBehindLatest: Int64? = nil
  ) {
    self.key = key
    self.parentShardIDs = parentShardIDs
    self.childShardIDs = childShardIDs
    self.hashRange = hashRange
    self.owner = owner
    self.lastOwner = lastOwner
    self.lastEpoch = lastEpoch
    self.epoch = epoch
    self.checkpoint = checkpoint
    self.pendingCheckpoint = pendingCheckpoint
    self.handoffTo = handoffTo
    self.stoppedReason = stoppedReason
    self.load = load
    self.millisBehindLatest = millisBehindLatest
  }
}
