import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

extension PostgresStreamAdmin {
  /// Ends the capture and closes all shards. What was captured stays readable until retention.
  ///
  /// Waits for transactions that have written to the table to end, but not for readers of the table, and holds up new
  /// ones for half a second at a time, ten seconds in all. Either nothing has changed when this fails, or the stream is
  /// disabled by whoever looks after it next.
  ///
  /// Changes that are committed before are captured first. Where that cannot be, the stream ends with the reason:
  /// ``PostgresStreamDescription/captureFailure``.
  ///
  /// - Parameter isForced: Whether to leave out what a stream that is captured by decoding has not captured yet.
  @discardableResult
  public func disable(_ stream: String, isForced: Bool = false) async throws -> PostgresStreamDescription {
    let id = try await find(stream)
    if isForced { try await drop(id) } else { try await disable(id) }
    return try await describe(id)
  }

  /// Disables a stream without what its slot still has, or as ever if it has none.
  private func drop(_ id: Int32) async throws {
    guard let state = try await CaptureState.of(id, on: pool) else { return try await disable(id) }
    let lock = lock(on: Int64(state.source.table), for: "Disabling the stream")
    try await writing(.administration, on: pool) {
      _ = try await lock.taking {
        try await pool.execute(
          """
          SELECT tidemark.fail_stream(\(id), format('it was disabled by force, and what was committed after %s was not '
            'captured (%s of write-ahead log at most)', \(state.position.lsn.description)::text,
            pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), \(state.position.lsn.description)::pg_lsn))))
          """
        )
      }
    }
  }

  func disable(_ id: Int32) async throws {
    guard let state = try await CaptureState.of(id, on: pool) else { return try await end(id) }
    let lock = lock(on: Int64(state.source.table), for: "Disabling the stream")
    let end = try await reading(.schema) {
      try await lock.taking {
        try await pool.query("SELECT tidemark.end_logical_capture(\(id))::text")[0].decode(String.self)
      }
    }
    do {
      try await capture(id, until: end)
    } catch let error as TidemarkError where error.code == .captureLost {
      logger.warning(
        "The stream has ended with changes missing",
        metadata: ["stream": "\(id)", "error": "\(error)"]
      )
      return
    }
    do {
      try await self.end(id)
    } catch let error as TidemarkError where error.code == .streamDisabled {
      // Whoever looks after the stream was faster.
    }
    try await CaptureRemoval(
      capture: state.captureID,
      table: Int64(state.source.table),
      pool: pool,
      logger: logger,
      clock: ContinuousClock()
    ).run()
  }

  /// Captures what stands before the place, or waits for the process that does.
  private func capture(_ id: Int32, until end: String) async throws {
    let place = try CaptureState.place(end)
    let notice = WaitNotice(
      message: "Disabling the stream waits until what was committed before is captured",
      logger: logger,
      clock: ContinuousClock()
    )
    try await notice.telling(of: { try await LockHolder.capturing(id, until: end, on: pool) }) {
      try await capture(of: id).run(until: place)
    }
  }

  private func end(_ id: Int32) async throws {
    try await writing(.administration, on: pool) {
      // Most of the inbox, while the table is not locked yet.
      try await StreamAdvance.advanceFully(id, on: pool)
      let table = try await pool.query(
        "SELECT s.source_table::oid::bigint FROM tidemark.stream s WHERE s.stream_id = \(id)"
      ).first?.decode(Int64?.self)
      try await lock(on: table ?? nil, for: "Disabling the stream").taking {
        _ = try await pool.execute("SELECT tidemark.disable_stream(\(id))")
      }
    }
  }

  func capture(of id: Int32) -> LogicalCapture {
    LogicalCapture(PostgresCaptureStore(stream: id, pool: pool), clock: ContinuousClock(), logger: logger)
  }

  func lock(on table: Int64?, for purpose: String) -> PatientLock {
    .on(table: table, purpose: purpose, pool: pool, logger: logger)
  }
}
