import PostgresClient
import Tidemark

/// Something that a stream was enabled with and that has to stay so, for its changes to be captured as they should be.
public struct PostgresStreamCondition: Sendable, Hashable {
  /// The stream's full name.
  public var stream: String
  /// What is looked at: "key", "row triggers".
  public var name: String
  /// What is wrong with it; `nil` if it is as it was.
  public var problem: String?
  /// What to do about the problem.
  public var advice: String?
}

extension PostgresStreamAdmin {
  /// Looks whether what a stream was enabled with is still so: the table's key and kind, triggers, publications, the
  /// replica identity. Workers do this now and then, and warn of each problem once.
  ///
  /// - Parameter stream: all streams that are enabled and have a table, if it is left out.
  /// - Returns: all conditions, by stream. A stream that is disabled or has no table has none.
  /// - Throws: ``TidemarkError``: `streamNotFound`, `sourceUnavailable`.
  public func conditions(of stream: String? = nil) async throws -> [PostgresStreamCondition] {
    try await mappingStreamErrors {
      try await pool.query(
        """
        SELECT s.name || '/' || s.label, c.condition, c.problem, c.remedy
        FROM tidemark.stream_conditions(
          CASE WHEN \(stream)::text IS NOT NULL THEN tidemark.find_stream(\(stream)::text) END) AS c
        JOIN tidemark.stream s ON s.stream_id = c.of_stream
        """
      ).map { row in
        let (stream, name, problem, advice) = try row.decode((String, String, String?, String?).self)
        return PostgresStreamCondition(stream: stream, name: name, problem: problem, advice: advice)
      }
    }
  }
}

/// Warns of the streams' problems: of each once, and of its end.
struct ConditionWatch {
  private var known: [String: PostgresStreamCondition] = [:]

  /// - Returns: the problems that have come and those that are gone since the last look.
  mutating func look(_ conditions: [PostgresStreamCondition]) -> (
    new: [PostgresStreamCondition], gone: [PostgresStreamCondition]
  ) {
    var now: [String: PostgresStreamCondition] = [:]
    for condition in conditions where condition.problem != nil {
      now["\(condition.stream) \(condition.name)"] = condition
    }
    defer { known = now }
    return (
      now.filter { known[$0.key] != $0.value }.values.sorted { ($0.stream, $0.name) < ($1.stream, $1.name) },
      known.filter { now[$0.key] == nil }.values.sorted { ($0.stream, $0.name) < ($1.stream, $1.name) }
    )
  }
}
