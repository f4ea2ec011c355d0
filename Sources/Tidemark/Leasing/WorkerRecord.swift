/// A row of the worker table.
public struct WorkerRecord: Sendable, Hashable {
  public enum State: String, Sendable {
    /// It owns leases and takes more.
    case active
    /// It hands everything off and takes nothing.
    case draining
    /// It was declared dead; its leases are other workers'.
    case dead
  }

  public var registration: WorkerRegistration
  public var incarnation: WorkerIncarnation
  public var state: State
  /// How long ago its last heartbeat arrived, by the store's clock.
  public var heartbeatAge: Duration

  public init(
    registration: WorkerRegistration,
    incarnation: WorkerIncarnation,
    state: State,
    heartbeatAge: Duration
  ) {
    self.registration = registration
    self.incarnation = incarnation
    self.state = state
    self.heartbeatAge = heartbeatAge
  }
}
