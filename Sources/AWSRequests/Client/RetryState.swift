#if AWS
import Tidemark

/// What has been tried of one request, and what is to be done next.
struct RetryState: Sendable {
  enum Step: Sendable, Equatable {
    case giveUp
    case retry(after: Duration)
    /// Fetch other credentials, then try again.
    case renewCredentials
    /// Follow the server's clock, then try again.
    case correctClock
  }

  private let policy: AWSRetryPolicy
  private(set) var attempts = 0
  private var hasRenewed = false
  private var hasCorrected = false

  init(_ policy: AWSRetryPolicy) {
    self.policy = policy
  }

  /// Other credentials and the right clock are tried once each and beyond the limits, because they are what the answer
  /// asked for, not the same request again.
  mutating func step(
    after kind: AWSErrorKind,
    elapsed: Duration,
    using random: inout some RandomNumberGenerator
  ) -> Step {
    attempts += 1
    switch kind {
    case .fatal, .denied: return .giveUp
    case .expired:
      defer { hasRenewed = true }
      return hasRenewed ? .giveUp : .renewCredentials
    case .skew:
      defer { hasCorrected = true }
      return hasCorrected ? .giveUp : .correctClock
    case .transient: return again(policy.transient, elapsed, using: &random)
    case .throttle: return again(policy.throttle, elapsed, using: &random)
    }
  }

  private func again(
    _ backoff: Backoff,
    _ elapsed: Duration,
    using random: inout some RandomNumberGenerator
  ) -> Step {
    let pause = backoff.pause(afterAttempt: attempts, using: &random)
    let isOver = attempts >= policy.maximumAttempts || elapsed + pause >= policy.timeLimit
    return isOver ? .giveUp : .retry(after: pause)
  }
}
#endif
