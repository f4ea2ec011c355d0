#if AWS
/// Credentials that were given, and stay.
public struct StaticCredentialsProvider: AWSCredentialsProvider, CustomReflectable {
  public var name: String { "static credentials" }
  private var value: AWSCredentials

  public init(_ credentials: AWSCredentials) {
    value = credentials
  }

  public func credentials() async throws -> AWSCredentials? { value }

  public var customMirror: Mirror { Mirror(self, children: ["credentials": value]) }
}
#endif
