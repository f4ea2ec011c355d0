import LibPQ
import Tidemark
import TidemarkPostgres

extension PostgresStreamAdmin {
  /// Removes a stream for good, with all that it holds: records, triggers, functions, replication slot and publication.
  /// An enabled one is disabled before, without what it has not captured yet. Leases of applications on it stay.
  ///
  /// Waits for others' locks on the table as ``disable(_:isForced:)`` does. When this fails the stream is disabled or as
  /// it was, and a second call goes on.
  public func drop(_ stream: String) async throws {
    let stream = try await describe(stream)
    let id = try await find(stream.fullName)
    if stream.status == .enabled {
      do {
        try await disable(stream.fullName, isForced: true)
      } catch let error as TidemarkError where error.code == .streamDisabled {
        // Somebody else was faster.
      }
    }
    let table = try await reading(.administration, on: pool) {
      try await pool.query(
        "SELECT s.source_table::oid::bigint FROM tidemark.stream s WHERE s.stream_id = \(id)"
      ).first?.decode(Int64?.self)
    }
    try await writing(.administration, on: pool) {
      try await lock(on: table ?? nil, for: "Dropping the stream").taking {
        while try await !pool.query("SELECT tidemark.drop_stream(\(id))")[0].decode(Bool.self) {}
      }
    }
  }

  /// Removes all streams, as ``drop(_:)`` does, and what is left of others.
  ///
  /// - Returns: what had to be left. A second call goes on.
  public func dropAll() async throws -> [DatabaseProblem] {
    var left: [DatabaseProblem] = []
    let streams = try await reading(.administration, on: pool) {
      try await pool.query(
        "SELECT s.name || '/' || s.label FROM tidemark.stream s ORDER BY s.stream_id DESC"
      ).map { try $0.decode(String.self) }
    }
    for stream in streams {
      do {
        try await drop(stream)
      } catch let error as TidemarkError where error.code == .streamNotFound {
        // Somebody else has dropped it.
      } catch let error as TidemarkError {
        left.append(
          DatabaseProblem(subject: "stream \(stream)", problem: error.message, remedy: error.advice ?? "-")
        )
      }
    }
    return left + (try await dropCaptures())
  }

  /// What is left of captures that have no stream.
  private func dropCaptures() async throws -> [DatabaseProblem] {
    try await writing(.administration, on: pool) {
      let problems =
        try await pool.query("SELECT tidemark.drop_dead_captures()")[0].decode(String?.self) ?? ""
      return try await pool.query(
        """
        SELECT format('capture of %s', c.source_table), format('the replication slot %s, the publication tidemark_%s '
            'and the REPLICA IDENTITY of the table%s', tidemark.slot_name(c.capture_id), c.capture_id,
            coalesce(': ' || nullif(\(problems), ''), '')),
          'Somebody uses the table or the slot, or enables a stream: wait for that.'
        FROM tidemark.logical_capture c WHERE c.stream_id IS NULL
        """
      ).map(DatabaseProblem.init)
    }
  }

  /// Deletes the snapshots of an application.
  ///
  /// - Parameter stream: The only stream whose to delete, by its full name, or its short one, which means all of that name.
  /// - Throws: also ``TidemarkError/Code/invalidConfiguration`` while one of its workers makes a snapshot.
  public func dropSnapshots(for application: String, of stream: String? = nil) async throws {
    try await writing(.administration, on: pool) {
      _ = try await pool.query(
        """
        SELECT tidemark.drop_snapshot(n.stream_id, n.application)
        FROM tidemark.snapshot n JOIN tidemark.stream s USING (stream_id)
        WHERE n.application = \(application) AND coalesce(\(stream) IN (s.name, s.name || '/' || s.label), true)
        ORDER BY n.stream_id
        """
      )
    }
  }
}
