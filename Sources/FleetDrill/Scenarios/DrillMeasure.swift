/// What was measured in the rounds of a drill, and the limit that it is held to.
package struct DrillMeasure: Sendable {
  package enum Unit: String, Sendable {
    case seconds
    case count
  }

  /// What none may be above. Measures without one are for information.
  package struct Limit: Sendable, Hashable {
    package var median: Double?
    package var max: Double?

    package init(median: Double? = nil, max: Double? = nil) {
      self.median = median
      self.max = max
    }
  }

  package var name: String
  package var unit: Unit
  package var limit: Limit?
  /// In ascending order.
  package private(set) var samples: [Double] = []

  package init(_ name: String, _ unit: Unit, limit: Limit? = nil) {
    self.name = name
    self.unit = unit
    self.limit = limit
  }

  mutating func add(_ sample: Double) {
    samples.insert(sample, at: samples.firstIndex { $0 > sample } ?? samples.endIndex)
  }

  mutating func add(_ sample: Duration) { add(sample / .seconds(1)) }

  package var min: Double? { samples.first }
  package var median: Double? { samples.isEmpty ? nil : samples[samples.count / 2] }
  package var max: Double? { samples.last }

  /// Whether there are samples and the limit is kept.
  package var isMet: Bool {
    guard let median, let max else { return false }
    return median <= limit?.median ?? .infinity && max <= limit?.max ?? .infinity
  }
}
