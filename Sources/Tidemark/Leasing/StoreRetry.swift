import Logging

/// Repeats calls to the lease store while it does not answer: it waits out an outage and does not pass it on.
struct StoreRetry: Sendable {
  var clock: any MonotonicClock
  var random: SharedRandom
  var backoff = Backoff(initial: .milliseconds(20), maximum: .seconds(1))
  var logger: Logger

  /// Calls until there is an answer, or an error that trying again cannot mend, or the task is cancelled.
  /// Only for calls that are harmless to repeat.
  func untilAnswered<Answer>(
    _ what: String,
    _ call: @Sendable () async throws -> Answer
  ) async throws -> Answer {
    var random = random
    var attempt = 0
    while true {
      do {
        return try await call()
      } catch let error as TidemarkError where error.isRetryable {
        attempt += 1
        // The first is news, and one in a while says that it goes on.
        logger.log(
          level: attempt % 20 == 1 ? .warning : .debug,
          "could not \(what), trying again",
          metadata: ["attempt": "\(attempt)", "error": "\(error)"]
        )
        try await clock.sleep(for: backoff.pause(afterAttempt: attempt, using: &random))
      }
    }
  }
}
