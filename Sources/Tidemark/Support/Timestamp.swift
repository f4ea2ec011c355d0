/// A moment of the wall clock in microseconds since 1970-01-01 00:00 UTC, as sources and databases report it.
///
/// The framework only carries timestamps and compares those of one source with each other; what it waits for
/// it measures on a monotonic clock.
public struct Timestamp: Sendable, Hashable, Comparable, Codable {
  public var microsecondsSinceEpoch: Int64

  public init(microsecondsSinceEpoch: Int64) {
    self.microsecondsSinceEpoch = microsecondsSinceEpoch
  }

  public init(millisecondsSinceEpoch: Int64) {
    self.microsecondsSinceEpoch = millisecondsSinceEpoch * 1000
  }

  public static func < (left: Self, right: Self) -> Bool {
    left.microsecondsSinceEpoch < right.microsecondsSinceEpoch
  }
}
