/// What was measured in the rounds of a drill, and the limit that it is held to.
public struct DrillMeasure: Sendable {
  public enum Unit: String, Sendable {
    case seconds
    case count
  }

  /// What none may be above. Measures without one are for information.
  public struct Limit: Sendable, Hashable {
    public var median: Double?
    public var max: Double?

    public init(median: Double? = nil, max: Double? = nil) {
      self.median = median
      self.max = max
    }
  }

  public var name: String
  public var unit: Unit
  public var limit: Limit?
  /// In ascending order.
  public private(set) var samples: [Double] = []

  public init(_ name: String, _ unit: Unit, limit: Limit? = nil) {
    self.name = name
    self.unit = unit
    self.limit = limit
  }

  mutating func add(_ sample: Double) {
    samples.insert(sample, at: samples.firstIndex { $0 > sample } ?? samples.endIndex)
  }

  mutating func add(_ sample: Duration) { add(sample / .seconds(1)) }

  public var min: Double? { samples.first }
  public var median: Double? { samples.isEmpty ? nil : samples[samples.count / 2] }
  public var max: Double? { samples.last }

  /// Whether there are samples and the limit is kept.
  public var isMet: Bool {
    guard let median, let max else { return false }
    return median <= limit?.median ?? .infinity && max <= limit?.max ?? .infinity
  }
}
