import LibPQ
import Tidemark

/// Runs what only reads, or what is harmless to repeat: it does not matter whether a statement without an answer was done.
///
/// - Parameter pool: the database; where something is missing there this reads its schema's version again, because
///   somebody may have migrated it meanwhile.
nonisolated(nonsending) package func reading<Result>(
  _ subject: DatabaseSubject,
  on pool: PQPool? = nil,
  _ body: () async throws -> Result
) async throws -> Result {
  try await translatingErrors(of: subject, on: pool, isWriting: false, body)
}

/// Runs a write, and says what is known of its outcome.
///
/// - Parameter pool: as in ``reading(_:on:_:)``.
nonisolated(nonsending) package func writing<Result>(
  _ subject: DatabaseSubject,
  on pool: PQPool? = nil,
  _ body: () async throws -> Result
) async throws -> Result {
  try await translatingErrors(of: subject, on: pool, isWriting: true, body)
}

nonisolated(nonsending) private func translatingErrors<Result>(
  of subject: DatabaseSubject,
  on pool: PQPool?,
  isWriting: Bool,
  _ body: () async throws -> Result
) async throws -> Result {
  do {
    return try await body()
  } catch let error as PQError {
    if error.code == .cancelled { throw CancellationError() }
    if error.isOfMissingObject, let pool, let mismatch = await subject.schema?.mismatch(on: pool) {
      throw mismatch
    }
    throw TidemarkError(error, of: subject, isWriting: isWriting)
  }
}

/// Repeats what the server has undone only because of another transaction: after a deadlock or a serialization failure.
nonisolated(nonsending) package func retryingConflicts<Result>(
  attempts: Int = 5,
  clock: any MonotonicClock = ContinuousClock(),
  _ body: () async throws -> Result
) async throws -> Result {
  var random = SystemRandomNumberGenerator()
  // Drawn from zero up, or both would come together again.
  let backoff = Backoff(initial: .milliseconds(4), maximum: .milliseconds(50), jitter: 1)
  for attempt in 1..<attempts {
    do {
      return try await body()
    } catch let error as PQError where error.isConflict {
      try await clock.sleep(for: backoff.pause(afterAttempt: attempt, using: &random))
    }
  }
  return try await body()
}

extension PQError {
  fileprivate var isConflict: Bool { sqlState == "40001" || sqlState == "40P01" }

  /// A schema, table, function or column that there is not (any more), or that may have gone while a function used it: the
  /// server takes that for an error of its own.
  fileprivate var isOfMissingObject: Bool {
    ["3F000", "42P01", "42883", "42703", "XX000"].contains(sqlState)
  }
}
