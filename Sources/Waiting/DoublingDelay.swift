/// Delays that double, or grow by another factor, from a first to a last one.
package struct DoublingDelay: Sendable {
  private let first: Duration
  private let last: Duration
  private let factor: Double
  private let jitter: Double
  private var current: Duration

  /// - Parameter jitter: the part of a delay, 0 … 1, that is drawn at random, so that many that failed together do not
  ///   return together.
  package init(from first: Duration, to last: Duration, factor: Double = 2, jitter: Double = 0) {
    self.first = min(first, last)
    self.last = last
    self.factor = factor
    self.jitter = jitter
    self.current = self.first
  }

  /// The next delay, without jitter.
  package mutating func next() -> Duration {
    defer { current = current < last ? min(current * factor, last) : last }
    return current
  }

  package mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
    next() * (1 - Double.random(in: 0...jitter, using: &random))
  }

  package mutating func reset() { current = first }
}
