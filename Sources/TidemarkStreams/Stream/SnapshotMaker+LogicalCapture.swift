import LibPQ
import Logging
import Tidemark
import TidemarkPostgres
import Waiting

/// How a snapshot begins where the table is captured by decoding; the migration `logical_snapshots` says why.
extension SnapshotMaker {
  /// How long a slot in the making waits for a transaction. The stream goes on after as long, and the server's process
  /// ends that waits for a maker that has died: it does not notice that by itself.
  static let slotSettings = ["lock_timeout": "5s"]

  /// Waits for the transactions that are under way now, in all databases. A slot has to wait for them, too, but the
  /// stream stands still as long as that takes, and goes on as long as this does.
  func waitForWriters(on connection: PQConnection) async throws {
    let next = try await connection.query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0]
      .decode(String.self)
    let notice = WaitNotice(
      message: "The snapshot waits for the end of transactions",
      metadata: metadata(copied: 0),
      logger: logger,
      clock: clock
    )
    try await notice.telling(of: { try await LockHolder.writing(before: next, on: pool) }) {
      var delay = DoublingDelay(from: .milliseconds(5), to: .milliseconds(250))
      while try await !connection.query(
        "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= \(next)::text::xid8"
      )[0].decode(Bool.self) {
        try await clock.sleep(for: delay.next())
      }
    }
  }

  /// Cuts the stream at a place in the write-ahead log, where `holder` then sees the table.
  func cutLog(seenBy holder: PQTransaction) async throws -> Target {
    let requested = try await pool.query("SELECT tidemark.request_cut(\(stream.id), \(application))::text")[0]
    guard let cut = try requested.decode(String?.self) else {
      throw SnapshotHindrance(reason: "another snapshot of the stream begins")
    }
    do {
      return try await place(cut, seenBy: holder)
    } catch {
      // So that the stream goes on at once. If this fails, it does when the maker's lock is free or the time is up.
      _ = try? await pool.execute("SELECT tidemark.end_cut(\(cut)::text::uuid)")
      throw error
    }
  }

  private func place(_ cut: String, seenBy holder: PQTransaction) async throws -> Target {
    let moment = try await pool.takeReplicationSnapshot(
      slot: "tidemark_cut_" + cut.replacing("-", with: "_"),
      settings: Self.slotSettings
    )
    do {
      try await holder.see(moment.name)
    } catch {
      await moment.close()
      throw error
    }
    await moment.close()
    let seen = try await holder.query(Self.seen)[0].decode(String.self)
    try await pool.execute(
      "SELECT tidemark.place_cut(\(cut)::text::uuid, \(moment.place.description)::text::pg_lsn)"
    )
    return try await withThrowingTaskGroup(of: Target?.self) { group in
      group.addTask {
        try await capture(until: moment.place)
        return nil
      }
      group.addTask { try await begin(at: cut, seen: seen) }
      defer { group.cancelAll() }
      while let target = try await group.next() {
        if let target { return target }
      }
      throw CancellationError()
    }
  }

  /// What the transaction sees, as a text that the server reads again. A slot's snapshot may begin after its end, after
  /// transactions that have failed: it sees what is before its beginning, but as a text it is refused.
  private static let seen: PQStatement = """
    SELECT CASE WHEN pg_snapshot_xmin(s) > pg_snapshot_xmax(s) THEN format('%1$s:%1$s:', pg_snapshot_xmin(s))
      ELSE s::text END
    FROM pg_current_snapshot() AS s
    """

  /// Whoever captures goes on as far as the cut; if nobody does, this process does.
  private func capture(until place: PQLSN) async throws {
    do {
      let store = PostgresCaptureStore(stream: stream.id, pool: pool)
      try await LogicalCapture(store, clock: clock, logger: logger).run(until: place)
    } catch let error as TidemarkError where !error.isRetryable {
      logger.warning(
        "The snapshot waits for the process that captures the stream, because this one cannot",
        metadata: metadata(copied: 0).merging(["error": "\(error)"]) { $1 }
      )
    }
  }

  /// Waits until all that stands before the cut is in the log.
  private func begin(at cut: String, seen: String) async throws -> Target {
    var delay = DoublingDelay(from: .milliseconds(2), to: .milliseconds(50))
    while true {
      let (partition, starts, ordinals) = try await pool.query(
        """
        SELECT partition_ordinal, starts, ordinals FROM tidemark.begin_logical_snapshot(\(stream.id), \(application),
          \(cut)::text::uuid, \(seen)::text::pg_snapshot)
        """
      )[0].decode((Int64?, [Int64]?, [Int32]?).self)
      if let partition, let starts, let ordinals {
        return Target(partition: partition, hashStarts: starts, shardOrdinals: ordinals)
      }
      try await clock.sleep(for: delay.next())
    }
  }
}
