/// The history on which a scope's leases are written.
///
/// A lease store may come back without its newest commits: as a standby that is promoted, from a backup. Each of its
/// starts is another history, with a greater number.
public struct LeaseHistory: Sendable, Hashable {
  public var number: Int64
  /// The assignment version with which it began. A worker that has heard of a later one on an earlier history knows
  /// what the store has lost.
  public var beganAt: Int64

  public init(number: Int64 = 0, beganAt: Int64 = 0) {
    self.number = number
    self.beganAt = beganAt
  }
}
