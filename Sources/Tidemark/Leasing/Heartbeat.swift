/// What a worker reports with its heartbeat.
public struct Heartbeat: Sendable, Hashable {
  public var incarnation: WorkerIncarnation
  public var scope: LeaseScope
  public var state: WorkerRecord.State
  /// Shards that the worker cannot read now, because an earlier call for them still hangs: no plan may give it
  /// these.
  public var refused: Set<LeaseKey>
  /// What was measured of the worker's leases since the last heartbeat. Advisory.
  public var measurements: [LeaseKey: Measurement]

  /// What was measured of one shard.
  public struct Measurement: Sendable, Hashable {
    public var load: Lease.Load
    public var millisBehindLatest: Int64

    public init(load: Lease.Load, millisBehindLatest: Int64) {
      self.load = load
      self.millisBehindLatest = millisBehindLatest
    }
  }

  public init(
    incarnation: WorkerIncarnation,
    scope: LeaseScope,
    state: WorkerRecord.State,
    refused: Set<LeaseKey> = [],
    measurements: [LeaseKey: Measurement] = [:]
  ) {
    self.incarnation = incarnation
    self.scope = scope
    self.state = state
    self.refused = refused
    self.measurements = measurements
  }
}
