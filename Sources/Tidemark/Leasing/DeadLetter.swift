/// A record that the failure policy has given up on.
public struct DeadLetter: Sendable {
  public var record: Record
  public var attempts: Int
  /// The last error, as text.
  public var reason: String

  public init(record: Record, attempts: Int, reason: String) {
    self.record = record
    self.attempts = attempts
    self.reason = reason
  }
}
