/// A session of the lease store's database that keeps leases from changing hands, and that the store could not or must
/// not end.
public struct LeaseBlockage: Sendable, Hashable, CustomStringConvertible {
  /// The leases that wait; none if the session is only a dead worker's that has not ended.
  public var leases: [LeaseKey]
  /// The session that holds them: its process, role, application, state and age, as far as the database tells.
  public var holder: String
  /// What an operator can do about it.
  public var advice: String

  public init(leases: [LeaseKey], holder: String, advice: String) {
    self.leases = leases
    self.holder = holder
    self.advice = advice
  }

  /// The leases, for people.
  var leaseNames: String { leases.map(\.description).joined(separator: ", ") }

  public var description: String { "\(holder) holds \(leaseNames). \(advice)" }
}
