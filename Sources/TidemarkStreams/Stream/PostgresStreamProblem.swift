import LibPQ
import Tidemark

/// A condition of a stream that was found broken: from ``wellAt`` until ``goneAt`` changes may be missing.
public struct PostgresStreamProblem: Sendable, Hashable {
  /// The stream's full name.
  public var stream: String
  /// The name of the ``PostgresStreamCondition``.
  public var condition: String
  /// What was wrong with it, and what to do about that.
  public var problem: String
  public var advice: String
  /// The last look that found all well, or the stream's creation.
  public var wellAt: Timestamp
  public var foundAt: Timestamp
  /// When it was put right, or found gone; `nil` while it lasts.
  public var goneAt: Timestamp?
  /// Whether a worker has put it right.
  public var isMended: Bool
}

extension PostgresStreamProblem {
  /// Oldest first.
  ///
  /// - Parameter id: only those of this stream, if given.
  static func all(of id: Int32? = nil, on pool: PQPool) async throws -> [PostgresStreamProblem] {
    func microseconds(_ column: String) -> String { "(date_part('epoch', \(column)) * 1000000)::bigint" }
    return try await pool.query(
      PQStatement(
        """
        SELECT s.name || '/' || s.label, p.condition, p.problem, p.remedy, p.is_mended,
          \(microseconds("p.well_at")), \(microseconds("p.found_at")), \(microseconds("p.gone_at"))
        FROM tidemark.stream_problem p JOIN tidemark.stream s USING (stream_id)
        WHERE p.stream_id = coalesce($1, p.stream_id) ORDER BY p.found_at, p.stream_id, p.condition
        """,
        id
      )
    ).map { row in
      let (stream, condition, problem, advice, isMended, wellAt, foundAt, goneAt) = try row.decode(
        (String, String, String, String, Bool, Int64, Int64, Int64?).self
      )
      return PostgresStreamProblem(
        stream: stream,
        condition: condition,
        problem: problem,
        advice: advice,
        wellAt: Timestamp(microsecondsSinceEpoch: wellAt),
        foundAt: Timestamp(microsecondsSinceEpoch: foundAt),
        goneAt: goneAt.map { Timestamp(microsecondsSinceEpoch: $0) },
        isMended: isMended
      )
    }
  }
}
