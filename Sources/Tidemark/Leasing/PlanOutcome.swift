/// What became of a planning round.
public enum PlanOutcome: Sendable, Hashable {
  /// Somebody else is planning; look again soon.
  case busy
  /// The caller is dead itself and must not plan.
  case dead
  /// These steps were applied, and these workers were found dead.
  case applied([Assignment], dead: [WorkerIncarnation])
}
