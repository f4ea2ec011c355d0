/// The leases that one fleet shares: those of one application, on all of its streams.
public struct LeaseScope: Sendable, Hashable, CustomStringConvertible {
  public var application: String

  public init(application: String) {
    self.application = application
  }

  public var description: String { application }
}
