#if AWS
import Tidemark

/// How often and for how long a request is tried again. Pauses have full jitter: each is drawn between 0 and the one
/// that the exponential growth gives.
public struct AWSRetryPolicy: Sendable, Hashable {
  /// The most attempts, the first included. Default 8; at least 1.
  public var maximumAttempts = 8
  /// After how long no further attempt is begun. Default 60 s; more than 0.
  public var timeLimit: Duration = .seconds(60)
  /// The pauses after errors of the service and the network. Default 50 ms growing to 5 s.
  public var transient = Backoff(initial: .milliseconds(50), maximum: .seconds(5), jitter: 1)
  /// The pauses when the service asks for fewer calls. Default 500 ms growing to 20 s.
  public var throttle = Backoff(initial: .milliseconds(500), maximum: .seconds(20), jitter: 1)

  public init() {}

  func violations(of name: String) -> [String] {
    var found = transient.violations(of: "\(name).transient") + throttle.violations(of: "\(name).throttle")
    if maximumAttempts < 1 {
      found.append("\(name).maximumAttempts is \(maximumAttempts), must be at least 1")
    }
    if timeLimit <= .zero { found.append("\(name).timeLimit is \(timeLimit), must be more than 0") }
    return found
  }
}
#endif
