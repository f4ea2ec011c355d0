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
}
