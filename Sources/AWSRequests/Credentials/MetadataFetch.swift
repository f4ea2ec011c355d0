#if AWS
import Logging
import Tidemark

/// Requests to what hands out credentials on this machine and beside it.
struct MetadataFetch: Sendable {
  var environment: AWSEnvironment
  /// What is asked, for errors.
  var what: String
  /// For one attempt.
  var timeout: Duration
  var attempts: Int
  var logger: Logger

  /// - Returns: any answer that is not 5xx.
  /// - Throws: `TidemarkError` (`sourceUnavailable`) when there is none.
  func answer(to call: HTTPCall) async throws -> HTTPAnswer {
    var policy = AWSRetryPolicy()
    policy.maximumAttempts = attempts
    let loop = AttemptLoop(policy: policy, environment: environment, logger: logger)
    return try await loop.run {
      do {
        let answer = try await HTTPTransport.send(call, timeout: timeout)
        if answer.status < 500 { return answer }
        throw AWSFailure(
          AWSError(code: "", message: "", status: answer.status),
          kind: .transient,
          of: "The \(what)"
        )
      } catch let failure as HTTPFailure {
        throw AWSFailure(failure, asking: "The \(what)", at: call.origin)
      }
    }
  }
}
#endif
