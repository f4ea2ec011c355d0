/// One step of a plan.
public enum Assignment: Sendable, Hashable {
  /// Gives an unowned lease to a worker; it starts at once.
  case assign(shardID: String, to: WorkerIncarnation)
  /// Asks a lease's owner to hand it to another worker.
  case handOff(shardID: String, to: WorkerIncarnation)
}
