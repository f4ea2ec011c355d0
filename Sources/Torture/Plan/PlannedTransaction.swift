import LibPQ

/// What a writer does next.
struct PlannedTransaction: Sendable {
  enum Step: Sendable {
    case statement(PQStatement)
    case pause(Duration)
  }

  enum Ending: Sendable, Hashable {
    case commit, rollback
    /// In two phases; the second comes later, from whatever session.
    case prepare(commits: Bool, after: Duration)
  }

  /// How often it has to be run again if it cannot be serialized.
  static let attempts = 4

  var isolation = PQIsolation.readCommitted
  var steps: [Step] = []
  var ending = Ending.commit
  /// A statement that must stand outside a transaction, or a definition that is one by itself; then there are no steps.
  var alone: String?
  /// Until the writer's next.
  var pauseAfter = Duration.zero
}
