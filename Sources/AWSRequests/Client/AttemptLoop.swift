#if AWS
import Logging
import Tidemark

/// Tries a request again for as long as its failures and the policy ask for it.
struct AttemptLoop: Sendable {
  var policy: AWSRetryPolicy
  var environment: AWSEnvironment
  var logger: Logger

  /// - Parameters:
  ///   - renew: fetches other credentials; `nil` where that is of no use.
  ///   - correct: takes in how far this machine's clock is behind; `nil` where nothing is signed.
  ///   - attempt: throws ``AWSFailure`` when it fails, anything else to end at once.
  /// - Throws: `TidemarkError`, `CancellationError`.
  func run<Output: Sendable>(
    isolation: isolated (any Actor)? = #isolation,
    renew: (() async throws -> Void)? = nil,
    correct: ((Duration) -> Void)? = nil,
    _ attempt: () async throws -> Output
  ) async throws -> Output {
    var state = RetryState(policy)
    var random = environment.random
    let start = environment.clock.now
    while true {
      do {
        return try await attempt()
      } catch let failure as AWSFailure {
        let elapsed = start.duration(to: environment.clock.now)
        switch state.step(after: failure.kind, elapsed: elapsed, using: &random) {
        case .retry(let pause):
          logger.debug("Trying again", metadata: ["error": "\(failure.error)", "pause": "\(pause)"])
          try await environment.clock.sleep(for: pause)
        case .renewCredentials:
          guard let renew else { throw failure.error }
          try await renew()
        case .correctClock:
          guard let correct, let offset = failure.clockOffset else { throw failure.error }
          logger.warning("This machine's clock is wrong", metadata: ["behind": "\(offset)"])
          correct(offset)
        case .giveUp: throw failure.error(after: state.attempts)
        }
      }
    }
  }
}

extension AWSFailure {
  fileprivate func error(after attempts: Int) -> TidemarkError {
    var error = error
    if attempts > 1 { error.message += " (after \(attempts) attempts)" }
    return error
  }
}
#endif
