/// The leases that one fleet shares: those of one application on one stream.
public struct LeaseScope: Sendable, Hashable, CustomStringConvertible {
  public var application: String
  public var stream: String

  public init(application: String, stream: String) {
    self.application = application
    self.stream = stream
  }

  public var description: String { "\(application) on \(stream)" }
}
