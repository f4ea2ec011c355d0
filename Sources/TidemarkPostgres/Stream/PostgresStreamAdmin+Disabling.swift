import Logging
import PostgresClient
import Tidemark

extension PostgresStreamAdmin {
  /// Ends the capture and closes all shards. What was captured stays readable until retention.
  ///
  /// Waits for transactions that have written to the table to end, and holds up new ones for half a second at a time,
  /// ten seconds in all; whoever reads the table is not waited for. Either nothing has changed when this fails, or the
  /// stream is disabled by whoever looks after it next.
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
    try await mappingStreamErrors {
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
    let end = try await mappingStreamErrors {
      try await lock.taking {
        try await pool.query("SELECT tidemark.end_logical_capture(\(id))::text")[0].decode(String.self)
      }
    }
    do {
      try await capture(of: id).run(until: try CaptureState.place(end))
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
    try await removeCapture(of: id)
  }

  private func end(_ id: Int32) async throws {
    try await mappingStreamErrors {
      // Most of the inbox, while the table is not locked yet.
      var isBehind = true
      while isBehind {
        let (answer, isComplete) = try await StreamAdvance.advanceFully(id, from: nil, on: pool)
        isBehind = !isComplete && !answer.isBusy
      }
      let table = try await pool.query(
        "SELECT s.source_table::oid::bigint FROM tidemark.stream s WHERE s.stream_id = \(id)"
      ).first?.decode(Int64?.self)
      try await lock(on: table ?? nil, for: "Disabling the stream").taking {
        _ = try await pool.execute("SELECT tidemark.disable_stream(\(id))")
      }
    }
  }

  /// Removes the slot and what else the capture of a disabled stream had.
  private func removeCapture(of id: Int32) async throws {
    let isPending = try await mappingStreamErrors {
      try await pool.execute(
        """
        SELECT tidemark.drop_logical_capture(c.capture_id) FROM tidemark.logical_capture c
        WHERE c.stream_id = \(id) AND c.ended_at IS NULL
        """
      )
      return try await !pool.query(
        "SELECT FROM tidemark.logical_capture c WHERE c.stream_id = \(id) AND c.ended_at IS NULL"
      ).isEmpty
    }
    if isPending {
      logger.warning(
        "The table keeps REPLICA IDENTITY FULL until a worker or 'tidemark stream' finds it unused for a moment",
        metadata: ["stream": "\(id)"]
      )
    }
  }

  func capture(of id: Int32) -> LogicalCapture {
    LogicalCapture(PostgresCaptureStore(stream: id, pool: pool), clock: ContinuousClock(), logger: logger)
  }

  func lock(on table: Int64?, for purpose: String) -> TableLock {
    TableLock(table: table, purpose: purpose, pool: pool, logger: logger)
  }
}
