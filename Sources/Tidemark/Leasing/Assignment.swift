/// One step of a plan.
public enum Assignment: Sendable, Hashable {
  /// Gives an unowned lease to a worker; it starts at once.
  case assign(LeaseKey, to: WorkerIncarnation)
  /// Asks a lease's owner to hand it to another worker.
  case handOff(LeaseKey, to: WorkerIncarnation)

  public var key: LeaseKey {
    switch self {
    case .assign(let key, _), .handOff(let key, _): key
    }
  }

  public var target: WorkerIncarnation {
    switch self {
    case .assign(_, let target), .handOff(_, let target): target
    }
  }
}
