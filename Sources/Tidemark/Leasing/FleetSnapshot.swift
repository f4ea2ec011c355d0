/// Workers and leases as one planning transaction sees them.
public struct FleetSnapshot: Sendable {
  /// A worker that lives. Those found dead are listed apart.
  public struct Worker: Sendable, Hashable {
    public var incarnation: WorkerIncarnation
    public var isDraining: Bool
    public var maximumLeases: Int?
    /// The streams that it serves: no plan gives it a lease of another.
    public var streams: Set<String>
    /// See ``Heartbeat/refused``.
    public var refused: Set<LeaseKey>

    public init(
      incarnation: WorkerIncarnation,
      streams: Set<String>,
      isDraining: Bool = false,
      maximumLeases: Int? = nil,
      refused: Set<LeaseKey> = []
    ) {
      self.incarnation = incarnation
      self.streams = streams
      self.isDraining = isDraining
      self.maximumLeases = maximumLeases
      self.refused = refused
    }
  }

  public var workers: [Worker]
  /// All leases of the scope, also the ended ones: they gate their children. Leases of dead workers appear as
  /// unowned, handoffs that are overdue or go to a dead worker as not requested.
  public var leases: [Lease]

  public init(workers: [Worker], leases: [Lease]) {
    self.workers = workers
    self.leases = leases
  }

  /// The streams that have leases to read and no worker that serves them, in the order of their names. Their leases wait.
  public var unservedStreams: [String] {
    let served = workers.reduce(into: Set<String>()) { $0.formUnion($1.streams) }
    let waiting = leases.lazy.filter { !$0.isEnded && $0.stoppedReason == nil && !served.contains($0.stream) }
    return Set(waiting.map(\.stream)).sorted()
  }
}
