/// What a worker had learned of its leases and the lease store does not know any more.
///
/// The leases stay safe: what the worker was given in what is lost is refused, and no epoch is granted a second time.
/// Checkpoints of that time are lost as well, so records are given again.
public struct HistoryLoss: Sendable, Hashable, CustomStringConvertible {
  /// A lease that the worker had under an epoch which the store does not know.
  public struct LostLease: Sendable, Hashable {
    public var key: LeaseKey
    public var epochSeen: Epoch
    /// `nil` if there is no such lease any more.
    public var epochNow: Epoch?

    public init(key: LeaseKey, epochSeen: Epoch, epochNow: Epoch?) {
      self.key = key
      self.epochSeen = epochSeen
      self.epochNow = epochNow
    }
  }

  /// A checkpoint that was committed and is not there, of a lease that is still the worker's. What was done along with
  /// it in the same database is lost as well. The lease is started again where it is now.
  public struct LostCheckpoint: Sendable, Hashable {
    public var key: LeaseKey
    public var committed: Checkpoint
    public var checkpointNow: Checkpoint

    public init(key: LeaseKey, committed: Checkpoint, checkpointNow: Checkpoint) {
      self.key = key
      self.committed = committed
      self.checkpointNow = checkpointNow
    }
  }

  /// The worker's registration, if that is gone.
  public var registration: WorkerIncarnation?
  /// In the order of their streams and shards.
  public var leases: [LostLease]
  public var checkpoints: [LostCheckpoint]

  public init(
    registration: WorkerIncarnation? = nil,
    leases: [LostLease] = [],
    checkpoints: [LostCheckpoint] = []
  ) {
    self.registration = registration
    self.leases = leases
    self.checkpoints = checkpoints
  }

  public var description: String {
    let lost = leases.map { lease in
      "shard \(lease.key) at epoch \(lease.epochSeen), now "
        + (lease.epochNow.map { "at \($0)" } ?? "without a lease")
    }
    let behind = checkpoints.map { lost in
      "shard \(lost.key) at checkpoint \(lost.committed), now at \(lost.checkpointNow)"
    }
    let all = (registration.map { ["the registration \($0)"] } ?? []) + lost + behind
    return all.isEmpty ? "changes of leases" : all.joined(separator: "; ")
  }
}

extension HistoryLoss {
  /// Compares the last epochs that a worker had with the leases as they stand now.
  ///
  /// A lease may have changed hands since, under an epoch past all that are lost: then the epoch before tells.
  ///
  /// - Parameters:
  ///   - finished: of what it reads no more; a lease that is gone may have been deleted.
  ///   - running: of what it reads.
  init(of finished: [LeaseKey: Epoch], running: [LeaseKey: Epoch], in leases: [Lease]) {
    let leases = Dictionary(leases.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    let seen = finished.merging(running) { max($0, $1) }.sorted { $0.key < $1.key }
    let lost = seen.filter { key, epoch in
      guard let lease = leases[key] else { return running[key] != nil }
      return lease.epoch < epoch || (lease.epoch > epoch && lease.lastEpoch.map { $0 < epoch } ?? false)
    }
    self.init(
      leases: lost.map { LostLease(key: $0.key, epochSeen: $0.value, epochNow: leases[$0.key]?.epoch) }
    )
  }
}
