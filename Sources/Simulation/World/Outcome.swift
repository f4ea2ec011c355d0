/// What came of one seed.
struct Outcome: Sendable {
  var seed: UInt64
  /// What went wrong; `nil` if nothing did.
  var violation: String?
  /// Two runs with the same hash have done the same.
  var hash: UInt64
  var simulated: Duration
  var steps: UInt64
  var records: Int
  /// How long it took from the last fault until everything was at rest.
  var rest: Duration
  var faults: [FaultKind: Int]
  var marks: [Mark: Int]

  /// Adds what came of another simulation of the same seed.
  mutating func add(_ other: (violation: String?, hash: UInt64, marks: [Mark: Int], changes: Int)) {
    violation = violation ?? other.violation
    hash = hash &* 31 &+ other.hash
    marks.merge(other.marks, uniquingKeysWith: +)
    records += other.changes
  }
}
