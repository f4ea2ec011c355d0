#if AWS
/// A service's answer that it will not do what it was asked for, as it stood on the wire. It is the
/// `underlying` of the `TidemarkError`s that this module throws.
public struct AWSError: Error, Sendable, Hashable, CustomStringConvertible {
  /// As `ResourceNotFoundException`; empty if the answer held none.
  public var code: String
  /// What the service says, which may be nothing.
  public var message: String
  /// The HTTP status.
  public var status: Int
  /// What AWS support asks for.
  public var requestID: String?

  public init(code: String, message: String, status: Int, requestID: String? = nil) {
    self.code = code
    self.message = message
    self.status = status
    self.requestID = requestID
  }

  public var description: String {
    let id = requestID.map { ", request \($0)" } ?? ""
    return "\(code.isEmpty ? "no error code" : code), status \(status)\(id)"
  }
}
#endif
