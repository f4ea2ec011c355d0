/// How a round went.
struct RoundResult: Sendable {
  var violations: [Violation] = []
  /// Committed changes, the first rows among them.
  var changes = 0
  var records = 0
  var handled = 0
  var repeats = 0
  var workers = 0
  var disturbances = 0
  var faults: [Ingredient: Int] = [:]
  var writers = WriterGate.Figures()
  /// Checkpoints under an epoch that was over that were refused, and that were accepted; see E16 of the lease protocol.
  var staleCheckpoints = (refused: 0, accepted: 0)

  mutating func add(_ other: RoundResult) {
    violations += other.violations
    changes += other.changes
    records += other.records
    handled += other.handled
    repeats += other.repeats
    workers += other.workers
    disturbances += other.disturbances
    faults.merge(other.faults, uniquingKeysWith: +)
    writers.transactions += other.writers.transactions
    writers.rollbacks += other.writers.rollbacks
    writers.prepared += other.writers.prepared
    writers.refusals.merge(other.writers.refusals, uniquingKeysWith: +)
    staleCheckpoints.refused += other.staleCheckpoints.refused
    staleCheckpoints.accepted += other.staleCheckpoints.accepted
  }
}
