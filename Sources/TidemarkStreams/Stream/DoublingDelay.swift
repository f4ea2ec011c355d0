/// Delays that double from a first to a last one.
struct DoublingDelay {
  private let first: Duration
  private let last: Duration
  private var current: Duration

  init(from first: Duration, to last: Duration) {
    self.first = min(first, last)
    self.last = last
    self.current = self.first
  }

  mutating func next() -> Duration {
    defer { current = min(current * 2, last) }
    return current
  }

  mutating func reset() { current = first }
}
