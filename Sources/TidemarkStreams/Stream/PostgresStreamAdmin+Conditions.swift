import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

extension PostgresStreamAdmin {
  /// Looks whether what a stream was enabled with is still so: the table's key and kind, triggers, publications, the
  /// replica identity.
  ///
  /// - Parameter stream: all streams that are enabled and have a table, if it is left out.
  /// - Returns: all conditions, by stream. A stream that is disabled or has no table has none.
  /// - Throws: ``TidemarkError``: `streamNotFound`, `sourceUnavailable`.
  public func conditions(of stream: String? = nil) async throws -> [PostgresStreamCondition] {
    try await reading(.administration, on: pool) {
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

  /// Looks at the conditions of all streams, puts right what can be, and ends those streams whose records would be of other
  /// items than their tables have. ``PostgresStream/run()`` does this now and then.
  ///
  /// - Parameter interval: One look in so much time is enough, whoever makes it.
  /// - Returns: the problems of now and, as long as retention, of before, oldest first.
  @discardableResult
  public func watchConditions(atMostEvery interval: Duration = .zero) async throws -> [PostgresStreamProblem]
  {
    try await reading(.administration, on: pool) {
      try await pool.execute("SELECT tidemark.watch_conditions(\(interval.inSeconds) * interval '1 second')")
      // One statement each, so that none holds up another.
      let broken = try await pool.query(
        """
        SELECT DISTINCT s.stream_id, s.name || '/' || s.label
        FROM tidemark.stream_problem p JOIN tidemark.stream s USING (stream_id) WHERE p.gone_at IS NULL
        """
      )
      for row in broken {
        let (id, name) = try row.decode((Int32, String).self)
        let obstacle = try await pool.query("SELECT tidemark.mend_stream(\(id))")[0].decode(String?.self)
        if let obstacle {
          logger.warning(
            "Cannot put a problem of a stream right",
            metadata: ["stream": "\(name)", "error": "\(obstacle)"]
          )
        }
      }
      return try await PostgresStreamProblem.all(on: pool)
    }
  }
}
