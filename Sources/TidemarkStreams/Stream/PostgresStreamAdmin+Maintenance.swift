import Logging
import PostgresClient
import Tidemark

extension PostgresStreamAdmin {
  /// For how long rows of a table are expired in one go.
  private static let expiryTime = Duration.seconds(5)
  private static let expiryBatch = 500

  /// Looks after all streams: drops what is older than their retention, with disabled streams that have nothing left;
  /// rotates, splits and merges shards; deletes expired rows. ``PostgresStream/run()`` does this now and then.
  ///
  /// - Throws: when all streams have been seen to, the first error that came up.
  public func maintain() async throws {
    var failure: TidemarkError?
    do {
      try await maintainCaptures()
    } catch let error as TidemarkError {
      failure = error
    }
    let streams = try await mappingStreamErrors {
      try await pool.query("SELECT s.stream_id FROM tidemark.stream s ORDER BY s.stream_id").map {
        try $0.decode(Int32.self)
      }
    }
    for stream in streams {
      do { try await maintain(stream) } catch let error as TidemarkError { failure = failure ?? error }
    }
    if let failure { throw failure }
  }

  /// The part of ``maintain()`` that concerns streams captured by decoding, whose slots keep the server's log: ends those
  /// that have lost their slot, whose slot keeps more than it may, or whose table is gone, and removes what a death has
  /// left of enabling and disabling. Costs little, so that whoever looks at streams can do it first.
  ///
  /// - Returns: the streams that have ended with changes missing, each with the reason.
  /// - Throws: when all streams have been seen to, the first error that came up.
  @discardableResult
  public func maintainCaptures() async throws -> [PostgresStreamCondition] {
    var failure: TidemarkError?
    var ended: [PostgresStreamCondition] = []
    do { try await removeDeadCaptures() } catch let error as TidemarkError { failure = error }
    let streams = try await mappingStreamErrors {
      try await pool.query(
        """
        SELECT s.stream_id, s.name || '/' || s.label FROM tidemark.stream s
        WHERE s.capture = 'LOGICAL' AND s.status = 'ENABLED' ORDER BY s.stream_id
        """
      ).map { try $0.decode((Int32, String).self) }
    }
    for (id, name) in streams {
      do {
        guard let reason = try await maintainCapture(of: id) else { continue }
        let lost = TidemarkError.captureLost(reason)
        logger.error("A stream has lost its capture", metadata: ["stream": "\(name)", "reason": "\(reason)"])
        ended.append(
          PostgresStreamCondition(stream: name, name: "capture", problem: lost.message, advice: lost.advice)
        )
      } catch let error as TidemarkError {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    return ended
  }

  /// Removes what a death has left of the enabling or disabling of a stream that is captured by decoding.
  func removeDeadCaptures() async throws {
    let problem = try await mappingStreamErrors {
      try await pool.query("SELECT tidemark.drop_dead_captures()")[0].decode(String?.self)
    }
    if let problem {
      logger.warning("What is left of a capture cannot be removed", metadata: ["problem": "\(problem)"])
    }
  }

  /// One statement each, so that none holds up another.
  private func maintain(_ stream: Int32) async throws {
    try await mappingStreamErrors {
      // Shards first: this counts the steps, and those that are not counted stay.
      try await pool.execute("SELECT tidemark.manage_shards(\(stream))")
      try await pool.execute("SELECT tidemark.maintain_stream(\(stream))")
      let deadline = ContinuousClock.now + Self.expiryTime
      var deleted: Int32
      repeat {
        deleted = try await pool.query(
          "SELECT tidemark.expire_rows(\(stream), \(Int32(Self.expiryBatch)))"
        )[0].decode(Int32.self)
      } while deleted == Self.expiryBatch && ContinuousClock.now < deadline
    }
  }

  /// What a dropped table's stream has not captured yet is still in the server's log.
  ///
  /// - Returns: why the stream has ended, if changes are missing.
  private func maintainCapture(of id: Int32) async throws -> String? {
    guard let state = try await CaptureState.of(id, on: pool) else { return nil }
    let (reason, isThere) = try await mappingStreamErrors {
      try await pool.query(
        """
        SELECT tidemark.maintain_logical_capture(\(id)),
          EXISTS (SELECT FROM pg_class c WHERE c.oid = \(Int64(state.source.table))::oid)
        """
      )[0].decode((String?, Bool).self)
    }
    if reason == nil, !isThere { try await disable(id) }
    return reason
  }
}
