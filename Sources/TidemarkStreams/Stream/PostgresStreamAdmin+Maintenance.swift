import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

extension PostgresStreamAdmin {
  /// For how long rows of a table are expired in one go.
  private static let expiryTime = Duration.seconds(5)
  private static let expiryBatch = 500
  /// For how long a worker that dies keeps others from looking after streams, and how often one that lives says so.
  private static let turnTime = Duration.seconds(30)
  private static let turnInterval = Duration.seconds(5)

  /// Looks after all streams: drops what is older than their retention, with disabled streams that have nothing left;
  /// rotates, splits and merges shards; deletes expired rows. ``PostgresStream/run()`` does this now and then.
  ///
  /// - Returns: what this role cannot do, of streams whose rows expire.
  /// - Throws: when all streams have been seen to, the first error that came up.
  @discardableResult
  public func maintain() async throws -> [PostgresStreamCondition] {
    try await maintain(
      """
      SELECT s.stream_id, s.name || '/' || s.label, true, s.expiry_column IS NOT NULL
      FROM tidemark.stream s ORDER BY s.stream_id
      """
    ) {}
  }

  /// The same for those streams that need it: none that somebody has looked after within the interval, and an idle one ten
  /// times less often, a fifth of them at a time. One worker of a role does this at a time. Only for expired rows does each
  /// look itself: not every role may delete them.
  func maintain(atMostEvery interval: Duration) async throws -> [PostgresStreamCondition] {
    let seconds = interval / .seconds(1)
    let holder = Int64.random(in: .min ... .max)
    let hasTurn = try await takeTurn(holder, for: Self.turnTime)
    let choice: PQStatement = """
      WITH stream AS MATERIALIZED (
        SELECT s.stream_id, s.name || '/' || s.label AS name, s.maintained_at, s.expiry_column IS NOT NULL AS expires,
          s.rotate_after < n.rest * 10 OR s.status <> 'ENABLED' OR s.capture = 'LOGICAL'
            OR EXISTS (SELECT FROM tidemark.step p WHERE p.stream_id = s.stream_id AND p.head > s.counted_head)
            OR EXISTS (SELECT FROM tidemark.log_partition p
              WHERE p.stream_id = s.stream_id AND p.closed_at < n.time - s.retention)
            OR EXISTS (SELECT FROM tidemark.shard h
              WHERE h.stream_id = s.stream_id AND h.closed_at < n.time - s.retention)
            OR s.source_table IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.source_table)
            AS is_busy, s.maintained_at < n.time - n.rest AS is_due, s.maintained_at < n.time - n.rest * 10 AS is_overdue
        FROM tidemark.stream s
        CROSS JOIN (SELECT clock_timestamp() AS time, make_interval(secs => \(seconds)) AS rest) AS n
      ), due AS (
        SELECT s.stream_id FROM stream AS s WHERE \(hasTurn) AND s.is_due AND s.is_busy
        UNION ALL (
          SELECT s.stream_id FROM stream AS s WHERE \(hasTurn) AND s.is_overdue AND NOT s.is_busy
          ORDER BY s.maintained_at LIMIT (SELECT count(*) / 5 + 1 FROM stream))
      )
      SELECT s.stream_id, s.name, d.stream_id IS NOT NULL, s.expires FROM stream AS s LEFT JOIN due AS d USING (stream_id)
      WHERE d.stream_id IS NOT NULL OR s.expires ORDER BY s.maintained_at
      """
    guard hasTurn else { return try await maintain(choice) {} }
    let clock = ContinuousClock()
    var taken = clock.now
    let problems = try await maintain(choice) {
      if taken.duration(to: clock.now) < Self.turnInterval { return }
      taken = clock.now
      _ = try await takeTurn(holder, for: Self.turnTime)
    }
    _ = try await takeTurn(holder, for: .zero)
    return problems
  }

  /// Whether no other worker of this role looks after streams for so long.
  private func takeTurn(_ holder: Int64, for time: Duration) async throws -> Bool {
    var hasTurn = false
    try await asFarAsAllowed {
      hasTurn = try await reading(.administration, on: pool) {
        try await pool.query(
          "SELECT tidemark.take_maintenance_turn(\(holder), make_interval(secs => \(time.inSeconds)))"
        )[0].decode(Bool.self)
      }
    }
    return hasTurn
  }

  /// - Parameters:
  ///   - choice: the id and name of each stream, whether to look after it, and whether rows of its table expire.
  ///   - goesOn: is called before each.
  private func maintain(
    _ choice: PQStatement,
    goesOn: () async throws -> Void
  ) async throws -> [PostgresStreamCondition] {
    var problems: [PostgresStreamCondition] = []
    var failure: TidemarkError?
    do {
      try await asFarAsAllowed { try await maintainCaptures() }
    } catch let error as TidemarkError {
      failure = error
    }
    let streams = try await reading(.administration, on: pool) {
      try await pool.query(choice).map { try $0.decode((Int32, String, Bool, Bool).self) }
    }
    for (id, name, isDue, expires) in streams {
      do {
        try await goesOn()
        if isDue { try await maintain(id) }
        guard expires, let problem = try await expireRows(of: id) else { continue }
        problems.append(
          PostgresStreamCondition(
            stream: name,
            name: "expiry",
            problem: "Expired rows of the stream's table are not deleted by this process.",
            advice: problem
          )
        )
      } catch let error as TidemarkError {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    return problems
  }

  /// A stream may be one that this role sees but does not look after, or of which it only deletes expired rows.
  private func asFarAsAllowed(_ body: () async throws -> Void) async throws {
    do {
      try await body()
    } catch let error as TidemarkError where (error.underlying as? PQError)?.sqlState == "42501" {
      return
    }
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
    let streams = try await reading(.administration, on: pool) {
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
    let problem = try await reading(.administration, on: pool) {
      try await pool.query("SELECT tidemark.drop_dead_captures()")[0].decode(String?.self)
    }
    if let problem {
      logger.warning("Cannot remove what is left of a capture", metadata: ["problem": "\(problem)"])
    }
  }

  /// One statement each, so that none holds up another.
  private func maintain(_ stream: Int32) async throws {
    try await asFarAsAllowed {
      try await reading(.administration, on: pool) {
        // Shards first: this counts the steps, and those that are not counted stay.
        try await pool.execute("SELECT tidemark.manage_shards(\(stream))")
        try await pool.execute("SELECT tidemark.maintain_stream(\(stream))")
      }
    }
  }

  /// - Returns: what this role lacks to delete expired rows.
  private func expireRows(of stream: Int32) async throws -> String? {
    var answer: (deleted: Int, problem: String?) = (0, nil)
    try await asFarAsAllowed {
      try await reading(.administration, on: pool) {
        let deadline = ContinuousClock.now + Self.expiryTime
        repeat {
          answer = try await expireRows(of: stream, atMost: Self.expiryBatch)
        } while answer.deleted == Self.expiryBatch && ContinuousClock.now < deadline
      }
    }
    return answer.problem
  }

  /// Deletes expired rows of a stream's table with the rights of this role, past rows that somebody has locked. No writer
  /// waits for it longer than for any delete.
  ///
  /// - Returns: how many, and what this role lacks to delete them.
  func expireRows(of stream: Int32, atMost maximumRows: Int) async throws -> (deleted: Int, problem: String?)
  {
    do {
      return try await pool.transaction { transaction in
        let (statement, problem) = try await transaction.query(
          "SELECT statement, problem FROM tidemark.begin_expiry(\(stream), \(Int32(clamping: maximumRows)))"
        )[0].decode((String?, String?).self)
        guard let statement else { return (0, problem) }
        // A row that a policy hides would never expire, without a word: that is an error.
        try await transaction.execute("SET LOCAL row_security = off")
        try await transaction.execute("SET LOCAL lock_timeout = '100ms'")
        let deleted = try await transaction.query(PQStatement(stringLiteral: statement)).affectedRows
        try await transaction.execute("SELECT tidemark.end_expiry(\(stream))")
        return (deleted, nil)
      }
    } catch let error as PQError where error.sqlState == "55P03" {
      return (0, nil)
    }
  }

  /// What a dropped table's stream has not captured yet is still in the server's log.
  ///
  /// - Returns: why the stream has ended, if changes are missing.
  private func maintainCapture(of id: Int32) async throws -> String? {
    guard let state = try await CaptureState.of(id, on: pool) else { return nil }
    let (reason, isThere) = try await reading(.administration, on: pool) {
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
