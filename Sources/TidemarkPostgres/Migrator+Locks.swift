import LibPQ
import Logging
import Tidemark

extension Migrator {
  /// How long a migration waits for a lock. Whoever comes after it waits as long, writers too; between two attempts
  /// nobody does.
  static let lockTimeout = "500ms"

  /// Runs `body` until it has got its locks.
  ///
  /// - Throws: `sourceUnavailable` that names the sessions that hold them.
  func takingLocks(_ body: () async throws -> Bool) async throws -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + patience
    let backoff = Backoff(initial: .milliseconds(100), maximum: .seconds(2))
    var random = SystemRandomNumberGenerator()
    var attempt = 0
    while true {
      do {
        return try await body()
      } catch let error as PQError where ["55P03", "40P01", "40001"].contains(error.sqlState) {
        let holders = try await LockHolder.of(schema: schema.name, on: pool)
        if clock.now >= deadline { throw unavailable(holders, error) }
        attempt += 1
        if attempt == 1 {
          logger.warning(
            "The migration of the schema \(schema.name) waits for a lock",
            metadata: holders.metadata
          )
        }
        try await clock.sleep(for: backoff.pause(afterAttempt: attempt, using: &random))
      }
    }
  }

  private func unavailable(_ holders: [LockHolder], _ error: PQError) -> TidemarkError {
    let own = error.message.hasPrefix("canceling statement") ? "" : " \(error.message.asSentence)"
    return TidemarkError(
      .sourceUnavailable,
      "The migration of the schema \(schema.name) did not get its locks within \(patience)"
        + (holders.isEmpty ? "." : ": the schema is used by \(holders.list).") + own,
      advice: (holders.isEmpty ? "" : "\(holders.advice). ") + "Then try again: nothing has changed.",
      underlying: error
    )
  }
}
