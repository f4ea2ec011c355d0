import Logging
import Tidemark

/// Logs the streams' problems: each when it comes, when it changes, and when it is gone.
struct ProblemLog {
  private var known: Set<PostgresStreamProblem> = []

  /// - Returns: what was not so in the last list.
  mutating func news(in problems: [PostgresStreamProblem]) -> [PostgresStreamProblem] {
    defer { known = Set(problems) }
    return problems.filter { !known.contains($0) }
  }

  mutating func write(_ problems: [PostgresStreamProblem], to logger: Logger) {
    for problem in news(in: problems) {
      var metadata: Logger.Metadata = [
        "stream": "\(problem.stream)", "condition": "\(problem.condition)", "problem": "\(problem.problem)",
        "missing_from": "\(problem.wellAt.iso8601)",
      ]
      if let goneAt = problem.goneAt {
        metadata["missing_until"] = "\(goneAt.iso8601)"
        logger.warning(
          problem.isMended
            ? "A stream was put right; changes from before may be missing"
            : "A problem of a stream is gone; changes from before may be missing",
          metadata: metadata
        )
      } else {
        metadata["advice"] = "\(problem.advice)"
        logger.warning(
          "A stream is not what it was when it was enabled, and changes may be missing",
          metadata: metadata
        )
      }
    }
  }
}
