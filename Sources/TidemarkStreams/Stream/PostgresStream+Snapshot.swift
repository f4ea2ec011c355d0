import LibPQ
import Tidemark
import TidemarkPostgres

extension PostgresStream {
  /// Takes a snapshot of the stream's table for the application, if it is new and has none, and waits while somebody
  /// else does. Changes, sequencing and other applications go on meanwhile. `TRUNCATE` and changes of the table's schema wait
  /// for half a second or so; then the snapshot gives way to them, and begins again after a pause.
  ///
  /// The role needs the right to `SELECT` from the table, and two connections for as long as it takes. If the table is
  /// captured by logical decoding, it needs `REPLICATION`, too, and this waits until all transactions that have
  /// written have ended.
  ///
  /// - Throws: ``TidemarkError``: `unsupported` for a stream without a table, behind a pooler, and for a role that lacks
  ///   `REPLICATION`; `streamDisabled`, `sourceUnavailable`.
  public func startingWithSnapshot(for application: String, isNew: Bool) async throws -> any StreamSource {
    let newest = try await identified()
    let existing = try await reading(.stream, on: pool) {
      let rows = try await pool.query(
        """
        SELECT s.stream_id
        FROM tidemark.streams_named(\(name)) s JOIN tidemark.snapshot n ON n.stream_id = s.stream_id
        WHERE n.application = \(application) AND n.completed_at IS NOT NULL
        """
      )
      return try rows.map { try $0.decode(Int32.self) }
    }
    guard isNew else { return existing.isEmpty ? self : seen(by: application) }
    if !existing.contains(newest.id) {
      let maker = SnapshotMaker(
        stream: newest,
        application: application,
        pool: pool,
        clock: clock,
        logger: logger
      )
      try await maker.make()
    }
    return seen(by: application)
  }
}
