import PostgresClient
import Tidemark

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
          CASE WHEN \(stream)::text IS NOT NULL THEN tidemark.find_stream(\(stream)::text) END)
          WITH ORDINALITY AS c (of_stream, condition, problem, remedy, position)
        JOIN tidemark.stream s ON s.stream_id = c.of_stream
        ORDER BY c.position
        """
      ).map { row in
        let (stream, name, problem, advice) = try row.decode((String, String, String?, String?).self)
        return PostgresStreamCondition(stream: stream, name: name, problem: problem, advice: advice)
      }
    }
  }
}
