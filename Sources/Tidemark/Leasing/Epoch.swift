/// The fencing token of a lease: it rises exactly when the lease's owner changes, and never falls. It rises by one; or
/// by more, after the lease store's database was started again or lost commits, so that no epoch that was granted in
/// those is ever granted again.
///
/// A write that carries an older epoch than the lease is refused. Users may pass it on to other systems that
/// can refuse what carries an older one.
public struct Epoch: Sendable, Hashable, Comparable, CustomStringConvertible {
  public var number: Int64

  public init(_ number: Int64) {
    self.number = number
  }

  public var next: Epoch { Epoch(number + 1) }

  public static func < (left: Self, right: Self) -> Bool { left.number < right.number }

  public var description: String { String(number) }
}
