import LibPQ
import Tidemark

/// A snapshot as the database lists it: the rows that a table had when an application started to read its stream.
public struct PostgresSnapshotDescription: Sendable, Hashable {
  /// The only application that is given these records.
  public var application: String
  public var createdAt: Timestamp
  /// `nil` while rows are copied, and if that was given up and not begun again.
  public var completedAt: Timestamp?
  /// How many rows the table had; `nil` until the snapshot is complete.
  public var recordCount: Int64?
}

extension PostgresSnapshotDescription {
  static func list(of stream: Int32, on database: some PQQueryable) async throws -> [Self] {
    let rows = try await database.query(
      """
      SELECT n.application, (date_part('epoch', n.created_at) * 1000000)::bigint,
        (date_part('epoch', n.completed_at) * 1000000)::bigint, n.row_count
      FROM tidemark.snapshot n WHERE n.stream_id = \(stream) ORDER BY n.created_at
      """
    )
    return try rows.map { row in
      let (application, created, completed, count) = try row.decode((String, Int64, Int64?, Int64?).self)
      return PostgresSnapshotDescription(
        application: application,
        createdAt: Timestamp(microsecondsSinceEpoch: created),
        completedAt: completed.map { Timestamp(microsecondsSinceEpoch: $0) },
        recordCount: count
      )
    }
  }
}
