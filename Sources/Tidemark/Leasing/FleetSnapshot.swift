/// Workers and leases as one planning transaction sees them.
public struct FleetSnapshot: Sendable {
  /// A worker that lives. Those found dead are listed apart.
  public struct Worker: Sendable, Hashable {
    public var incarnation: WorkerIncarnation
    public var isDraining: Bool
    public var maximumLeases: Int?
    /// See ``Heartbeat/refusedShardIDs``.
    public var refusedShardIDs: Set<String>

    public init(
      incarnation: WorkerIncarnation,
      isDraining: Bool = false,
      maximumLeases: Int? = nil,
      refusedShardIDs: Set<String> = []
    ) {
      self.incarnation = incarnation
      self.isDraining = isDraining
      self.maximumLeases = maximumLeases
      self.refusedShardIDs = refusedShardIDs
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
}
