/// How a worker behaves. Every value has a default that suits a small fleet on one network; a user has to set
/// none of them.
public struct WorkerConfiguration: Sendable {
  /// How death is noticed.
  public struct Failover: Sendable, Hashable {
    /// How long after its last heartbeat a worker whose session still stands may be declared dead, and how long
    /// a worker trusts its leases without an answer. A killed process is noticed by its session, in
    /// milliseconds; this is for paused processes and cut networks. Default 5 s; at least 200 ms.
    public var interval: Duration = .seconds(5)
    /// The period of heartbeats. Default 1 s; at most a quarter of `interval`.
    public var heartbeatInterval: Duration = .seconds(1)
    /// How much earlier than others may declare it dead a worker stops handing out records. Default 500 ms;
    /// more than 0 and at most half of `interval`.
    public var margin: Duration = .milliseconds(500)
    /// How often the fleet as a whole looks for dead workers and for leases without an owner; each worker looks
    /// once in this time multiplied by the number of workers. Default 50 ms; at least 1 ms.
    public var lookInterval: Duration = .milliseconds(50)

    public init() {}
  }

  /// How leases move between living workers.
  public struct Handoff: Sendable, Hashable {
    /// How long an owner may take to finish its batch and give a lease up before the request lapses. Default
    /// 10 s; more than 0.
    public var timeout: Duration = .seconds(10)
    /// How long a worker that shuts down waits for its processors before it gives its leases up without them.
    /// Default 30 s; more than 0.
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
    /// Whether the lease is then given to another worker, which starts behind the last checkpoint while the call may
    /// still be under way here: it is cancelled, and what it writes with the lease's epoch is refused. This worker
    /// takes the shard again only once the call has ended. Default `false`, because a processor that is only slow
    /// would do its work twice.
    public var givesLeaseAway = false

    public init() {}
  }

  /// How leases are assigned.
  public struct Planning: Sendable, Hashable {
    /// The longest time between two plans; changes in the fleet are planned for at once. Default 10 s; more
    /// than 0.
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
    /// Children of a shard that ends are known at once and need no such comparison. Default 30 s; more than 0.
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

  private func violations() -> [String] {
    var found: [String] = []
    func check(_ isRight: Bool, _ violation: @autoclosure () -> String) {
      if !isRight { found.append(violation()) }
    }
    check(
      failover.interval >= .milliseconds(200),
      "failover.interval is \(failover.interval), must be at least 200 ms"
    )
    check(
      failover.heartbeatInterval > .zero && failover.heartbeatInterval <= failover.interval / 4,
      "failover.heartbeatInterval is \(failover.heartbeatInterval), must be more than 0 and at most a quarter of "
        + "failover.interval (\(failover.interval / 4))"
    )
    check(
      failover.margin > .zero && failover.margin <= failover.interval / 2,
      "failover.margin is \(failover.margin), must be more than 0 and at most half of failover.interval "
        + "(\(failover.interval / 2))"
    )
    check(
      failover.lookInterval >= .milliseconds(1),
      "failover.lookInterval is \(failover.lookInterval), must be at least 1 ms"
    )
    check(handoff.timeout > .zero, "handoff.timeout is \(handoff.timeout), must be more than 0")
    check(
      handoff.drainTimeout > .zero,
      "handoff.drainTimeout is \(handoff.drainTimeout), must be more than 0"
    )
    if let timeout = stall.timeout {
      check(
        timeout >= failover.interval,
        "stall.timeout is \(timeout), must be at least failover.interval (\(failover.interval))"
      )
    }
    check(planning.interval > .zero, "planning.interval is \(planning.interval), must be more than 0")
    check(
      (0...1).contains(planning.tolerance),
      "planning.tolerance is \(planning.tolerance), must be within 0 and 1"
    )
    if let maximum = planning.maximumLeases {
      check(maximum >= 1, "planning.maximumLeases is \(maximum), must be at least 1")
    }
    check(
      (1...10_000).contains(reading.maximumRecords),
      "reading.maximumRecords is \(reading.maximumRecords), must be within 1 and 10,000"
    )
    check(
      reading.shardSyncInterval > .zero,
      "reading.shardSyncInterval is \(reading.shardSyncInterval), must be more than 0"
    )
    return found + failurePolicy.violations()
  }
}
