import Logging
import Tidemark
import TidemarkPostgres

/// Logs for whom something waits: after half a second, when others have come, and every half minute.
struct WaitNotice: Sendable {
  private static let look = Duration.milliseconds(500)
  private static let repetition = Duration.seconds(30)

  /// What waits for what, for the log: "Enabling the stream waits for the end of transactions".
  let message: String
  var metadata: Logger.Metadata = [:]
  let logger: Logger
  let clock: any MonotonicClock

  /// Runs `body`, which waits for those that `holders` finds.
  func telling<Result: Sendable>(
    of holders: @escaping @Sendable () async throws -> [LockHolder],
    while body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        try await tell(of: holders)
        return nil
      }
      defer { group.cancelAll() }
      while let result = try await group.next() {
        if let result { return result }
      }
      throw CancellationError()
    }
  }

  /// Until the task is cancelled.
  private func tell(of holders: @Sendable () async throws -> [LockHolder]) async throws {
    // By what ends them: what they do just now changes all the time.
    var told: Set<String> = []
    var due = clock.now
    while true {
      try await clock.sleep(for: Self.look)
      // What waits meets the same error, if it lasts.
      guard let holders = try? await holders() else { continue }
      let now = Set(holders.map(\.remedy))
      if !now.isEmpty, !now.isSubset(of: told) || clock.now >= due {
        logger.warning("\(message)", metadata: metadata.merging(holders.metadata) { $1 })
        due = clock.now.advanced(by: Self.repetition)
      }
      told = now
    }
  }
}
