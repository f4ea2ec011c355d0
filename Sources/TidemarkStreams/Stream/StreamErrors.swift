import PostgresClient
import Tidemark

/// Runs statements of a stream and turns what the database throws into a ``TidemarkError``.
nonisolated(nonsending) func mappingStreamErrors<Result>(
  _ body: () async throws -> Result
) async throws -> Result {
  do {
    return try await body()
  } catch let error as PostgresError {
    if error.code == .cancelled { throw CancellationError() }
    throw TidemarkError(streamError: error)
  }
}

extension TidemarkError {
  /// The stream functions' own errors have a SQLSTATE of class TM, a message for people and advice as the hint.
  init(streamError error: PostgresError) {
    let code: Code? =
      switch error.sqlState {
      case "TM001": .streamNotFound
      case "TM002": .streamDisabled
      case "TM003": .unsupported
      case "TM004": .shardNotFound
      case "TM005": .invalidConfiguration
      default: nil
      }
    if let code {
      self.init(code, error.message, advice: error.hint)
      return
    }
    switch error.sqlState {
    case "3F000", "42883", "42P01":
      self.init(
        .streamNotFound,
        "The database has no Tidemark streams, or this one is gone.",
        advice: "Run the migrations in this database, or check the stream's name.",
        underlying: error
      )
    case "55P03":
      self.init(
        .sourceUnavailable,
        "Another transaction held a lock on the table or the stream for too long.",
        advice: "Find it in pg_stat_activity, wait for its end or end it, and try again.",
        underlying: error
      )
    case _ where error.isUnknownPartition:
      self.init(
        .sourceUnavailable,
        "A session did not know the newest partition of the stream's log.",
        advice: "Try again.",
        underlying: error
      )
    case "57014":
      self.init(
        .sourceUnavailable,
        "The server has cancelled the statement.",
        advice: "See to it that statement_timeout allows for what this role does.",
        underlying: error
      )
    case _ where error.isRetryable:
      self.init(.sourceUnavailable, "The database did not answer.", underlying: error)
    default:
      self.init(.unsupported, "The database refused the statement.", underlying: error)
    }
  }
}
