/// A session of the lease store's database that keeps leases from changing hands, and that the store could not or must
/// not end.
public struct LeaseBlockage: Sendable, Hashable, CustomStringConvertible {
  /// The shards whose leases wait; none if the session is only a dead worker's that has not ended.
  public var shardIDs: [String]
  /// Who holds them: the session's process, role, application, state and age, as far as the database tells.
  public var holder: String
  /// What an operator can do about it.
  public var advice: String

  public init(shardIDs: [String], holder: String, advice: String) {
    self.shardIDs = shardIDs
    self.holder = holder
    self.advice = advice
  }

  public var description: String { "\(holder) holds \(shardIDs.joined(separator: ", ")). \(advice)" }
}
