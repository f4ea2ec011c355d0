import PostgresClient
import Tidemark

/// How often a statement is repeated that the server refused only because of somebody else's.
private let conflictAttempts = 5

/// Runs a write: repeats it after a deadlock or a serialization failure, and says what is known of its outcome.
func mappingErrors<Value>(_ body: () async throws -> Value) async throws -> Value {
  var attempt = 1
  while true {
    do {
      return try await body()
    } catch let error as PostgresError {
      let isConflict = error.sqlState == "40001" || error.sqlState == "40P01"
      guard isConflict, attempt < conflictAttempts else { throw error.asStoreError }
      attempt += 1
    }
  }
}

/// Runs something that only reads: without an answer, nothing was written.
func mappingReadErrors<Value>(_ body: () async throws -> Value) async throws -> Value {
  do {
    return try await mappingErrors(body)
  } catch let error as TidemarkError where error.code == .outcomeUnknown {
    throw TidemarkError(.storeUnavailable, error.message, advice: error.advice, underlying: error.underlying)
  }
}

extension PostgresError {
  /// Whether a text has a character or bytes that the session's encoding, UTF-8, or the database's cannot have.
  package var isUntranslatable: Bool { sqlState == "22021" || sqlState == "22P05" }

  /// Whether the server refused the statement for reasons that pass: conflicts, a lack of resources, its own end, or a
  /// limit of the role's or the server's on how long a statement may take, which says nothing about the statement.
  private var isPassing: Bool { isRetryable || sqlState == "57014" }

  /// This error in the words of ``LeaseStore``.
  var asStoreError: any Error {
    if code == .cancelled { return CancellationError() }
    if isOutcomeUnknown {
      return TidemarkError(.outcomeUnknown, "The lease store's answer was lost.", underlying: self)
    }
    if isPassing || code == .closed {
      return TidemarkError(.storeUnavailable, "The lease store did not answer.", underlying: self)
    }
    switch sqlState {
    case "42P01", "42883", "42703", "3F000":
      return TidemarkError(
        .unsupported,
        "The database lacks the tables of this version of Tidemark.",
        advice: "Run the migrations.",
        underlying: self
      )
    default:
      return TidemarkError(.unsupported, "The lease store refused the statement.", underlying: self)
    }
  }
}
