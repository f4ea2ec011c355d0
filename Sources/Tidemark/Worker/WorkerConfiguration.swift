/// How a worker behaves. Every value has a default that suits a small fleet on one network; a user has to set
/// none of them.
public struct WorkerConfiguration: Sendable {
  /// How death is noticed.
  public struct Failover: Sendable, Hashable {
    /// How long after its last heartbeat a worker whose session still stands may be declared dead, and how long
    /// a worker trusts its leases without an answer. A killed process is noticed by its session, in
    /// milliseconds; this is for paused processes and cut networks. Default 5 s; 200 ms … 1 h.
    public var interval: Duration = .seconds(5)
    /// The period of heartbeats. Default 1 s; more than 0, at most a quarter of `interval`, because a worker that lets half of it
    /// pass between two heartbeats may not declare others dead, and at most a third of `interval` without `margin`, so that
    /// a heartbeat may be lost and another be late before a worker stops trusting its leases.
    public var heartbeatInterval: Duration = .seconds(1)
    /// How much earlier than others may declare it dead a worker stops handing out records. It covers that this
    /// host's clock and the database's run at different speeds, and the moment between the look at the clock and
    /// the call to the processor. Default 500 ms; at least a twentieth and at most half of `interval`.
    public var margin: Duration = .milliseconds(500)
    /// How often the fleet as a whole looks for dead workers and for leases without an owner; each worker looks
    /// once in this time multiplied by the number of workers. Default 50 ms; at least 1 ms and at most
    /// `heartbeatInterval`.
    public var lookInterval: Duration = .milliseconds(50)

    public init() {}
  }

  /// How leases move between living workers.
  public struct Handoff: Sendable, Hashable {
    /// How long an owner may take to finish its batch and give a lease up before the request lapses. Default
    /// 10 s; at least two heartbeats, which is how long the request may take to be heard, and at most a day.
    public var timeout: Duration = .seconds(10)
    /// How long a worker that shuts down waits for its processors before it gives its leases up without them.
    /// Default 30 s; at least two heartbeats and at most a day.
    public var drainTimeout: Duration = .seconds(30)

    public init() {}
  }

  /// What happens when a processor makes no progress: when one call to it neither returns nor checkpoints.
  ///
  /// A checkpoint in a transaction of the processor's own counts only once the call returns.
  public struct Stall: Sendable, Hashable {
    /// After how long that is reported; at the latest a quarter later. `nil` for never. Default 5 min; at least
    /// `failover.interval`.
    public var timeout: Duration? = .seconds(300)
    /// Whether the lease is then given to another worker, which starts after the last checkpoint while the call may
    /// still be under way here: it is cancelled, and what it writes with the lease's epoch is refused. This worker
    /// takes the shard again only once the call has ended. Default `false`, because a processor that is only slow
    /// would do its work twice.
    public var givesLeaseAway = false

    public init() {}
  }

  /// How leases are assigned.
  public struct Planning: Sendable, Hashable {
    /// The longest time between two plans; changes in the fleet are planned for at once. Default 10 s;
    /// 10 ms … 1 day.
    public var interval: Duration = .seconds(10)
    /// See ``AssignmentPlanner/tolerance``. Default 0.2; 0 … 1.
    public var tolerance: Double = 0.2
    /// The most leases that this worker takes; `nil`, the default, for without limit. At least 1.
    public var maximumLeases: Int?

    public init() {}
  }

  /// How shards are found and read.
  public struct Reading: Sendable, Hashable {
    /// Where to start with shards that nothing is known of. Default `TRIM_HORIZON`.
    public var initialPosition = InitialPosition.trimHorizon
    /// The most records in a batch. Default 1,000; 1 … 10,000.
    public var maximumRecords = 1000
    /// How often each worker compares the source's shards with the leases, multiplied by the number of workers.
    /// Children of a shard that ends are known at once and need no such comparison. Default 30 s; 10 ms … 1 day.
    public var shardSyncInterval: Duration = .seconds(30)
    /// See ``TrimmedDataPolicy``. Default ``TrimmedDataPolicy/stop``.
    public var trimmedData = TrimmedDataPolicy.stop

    public init() {}
  }

  public var failover = Failover()
  public var handoff = Handoff()
  public var stall = Stall()
  public var planning = Planning()
  public var reading = Reading()
  public var failurePolicy = FailurePolicy()

  public init() {}

  /// Checks everything at once.
  ///
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` with every violation, by name.
  public func validate() throws {
    let violations = violations()
    guard violations.isEmpty else {
      throw TidemarkError(
        .invalidConfiguration,
        "The worker's configuration is invalid: \(violations.joined(separator: "; "))."
      )
    }
  }
}
