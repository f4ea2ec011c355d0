import Logging
import PostgresClient
import Tidemark

/// Creates, changes and looks after the streams of a database.
///
/// Streams are named as in ``PostgresStream``. The role needs the rights of the owner of the schema `tidemark`
/// and, to enable a stream, the right to create triggers on the table.
///
/// All calls throw ``TidemarkError``: `streamNotFound`, `streamDisabled`, `shardNotFound`, `unsupported` for a
/// table that cannot have a stream, `invalidConfiguration` for a bad argument, and `sourceUnavailable`.
public struct PostgresStreamAdmin: Sendable {
  public static let defaultRetention = Duration.seconds(24 * 60 * 60)
  public static let defaultShardCount = 4
  /// 16 GiB.
  public static let defaultMaximumSlotLag = 16 << 30

  private let pool: PostgresPool
  private let logger: Logger

  public init(_ pool: PostgresPool, logger: Logger = Logger(label: "tidemark.stream")) {
    self.pool = pool
    self.logger = logger
  }

  /// Creates a stream without a table, which takes records by ``put(_:partitionKey:to:using:)``.
  ///
  /// - Parameter shardCount: 1 to 4096; each takes an equal part of the partition keys' hashes.
  @discardableResult
  public func create(
    _ name: String,
    retention: Duration = defaultRetention,
    shardCount: Int = defaultShardCount
  ) async throws -> PostgresStreamDescription {
    try await describe(
      identifiedBy: """
        SELECT tidemark.create_stream(\(name), make_interval(secs => \(retention.inSeconds)),
          \(Int32(clamping: shardCount)))
        """
    )
  }

  /// Captures the changes of a table from now on.
  ///
  /// Waits for transactions that have written to the table to end, and holds up new ones for as long, at most
  /// five seconds. The table's key columns must not be renamed while the stream is enabled.
  ///
  /// - Parameters:
  ///   - table: As in SQL: `orders`, `shop.orders`, `"Order"`.
  ///   - name: The stream's short name; otherwise the table's, with its schema unless that is `public`.
  ///   - capture: By logical decoding the call also waits for all transactions that are under way, and sets the
  ///     table's REPLICA IDENTITY to FULL until the stream is disabled.
  ///   - maximumSlotLag: The most bytes of write-ahead log that the stream's replication slot may keep the server from
  ///     removing; a stream that is behind by more is ended by maintenance. Only for capture by logical decoding.
  @discardableResult
  public func enable(
    table: String,
    name: String? = nil,
    viewType: StreamViewType = .newAndOldImages,
    capture: StreamCapture = .trigger,
    maximumSlotLag: Int = defaultMaximumSlotLag,
    retention: Duration = defaultRetention,
    shardCount: Int = defaultShardCount
  ) async throws -> PostgresStreamDescription {
    let source = try await mappingStreamErrors {
      try await pool.query("SELECT to_regclass(\(table))::oid::bigint")[0].decode(Int64?.self)
    }
    guard let source else {
      throw TidemarkError(
        .unsupported,
        "There is no table \(table).",
        advice: "Check the spelling, and name the schema if it is not in the search_path: schema.table."
      )
    }
    if capture == .logical {
      let wish = LogicalCapture.Wish(
        table: source,
        name: name,
        viewType: viewType,
        retention: retention,
        shardCount: shardCount,
        maximumLag: Int64(maximumSlotLag)
      )
      return try await describe(try await LogicalCapture.enable(wish, on: pool))
    }
    return try await describe(
      identifiedBy: PostgresStatement(
        "SELECT tidemark.enable_stream($1::oid::regclass, $2, $3, make_interval(secs => $4), $5)",
        source,
        name,
        viewType.rawValue,
        retention.inSeconds,
        Int32(clamping: shardCount)
      )
    )
  }

  /// Ends the capture and closes all shards. What was captured stays readable until retention.
  ///
  /// Waits like ``enable(table:name:viewType:retention:shardCount:)`` does.
  @discardableResult
  public func disable(_ stream: String) async throws -> PostgresStreamDescription {
    let id = try await find(stream)
    try await disable(id)
    return try await describe(id)
  }

  private func disable(_ id: Int32) async throws {
    let isDecoded = try await CaptureState.of(id, on: pool) != nil
    if isDecoded { try await capture(of: id).finish() }
    try await mappingStreamErrors {
      // Most of the inbox, while the table is not locked yet.
      var isBehind = true
      while isBehind {
        let (answer, isComplete) = try await StreamAdvance.advanceFully(id, from: nil, on: pool)
        isBehind = !isComplete && !answer.isBusy
      }
      try await pool.execute("SELECT tidemark.disable_stream(\(id))")
    }
    if isDecoded { try await LogicalCapture.remove(of: id, on: pool) }
  }

  public func describe(_ stream: String) async throws -> PostgresStreamDescription {
    try await describe(try await find(stream))
  }

  /// All streams that still have records or take new ones, oldest first.
  public func list() async throws -> [PostgresStreamDescription] {
    try await mappingStreamErrors { try await PostgresStreamDescription.all(on: pool) }
  }

  /// Appends a record to an enabled stream.
  ///
  /// - Parameter database: A transaction of the caller's that the record shall commit with; otherwise it is
  ///   committed at once.
  public func put(
    _ data: [UInt8],
    partitionKey: String,
    to stream: String,
    using database: (any PostgresQueryable)? = nil
  ) async throws {
    try await mappingStreamErrors {
      let statement: PostgresStatement = "SELECT tidemark.put(\(stream), \(partitionKey), \(data))"
      if let database {
        try await database.execute(statement)
      } else {
        try await pool.execute(statement)
      }
    }
  }

  /// Splits an open shard in two.
  ///
  /// - Parameter hash: Where the second child's range starts, rounded down to a multiple of 2^96; otherwise in
  ///   the middle.
  /// - Returns: the children's ids.
  @discardableResult
  public func split(_ shardID: String, of stream: String, at hash: UInt128? = nil) async throws -> [String] {
    let id = try await find(stream)
    let top = hash.map { Int64($0 >> 96) }
    let statement = PostgresStatement("SELECT tidemark.split_shard($1, $2, $3)", id, shardID, top)
    return try await mappingStreamErrors { try await pool.query(statement)[0].decode([String].self) }
  }

  /// Merges two open shards whose hash ranges touch.
  ///
  /// - Returns: the child's id.
  @discardableResult
  public func merge(_ shardID: String, _ otherID: String, of stream: String) async throws -> String {
    let id = try await find(stream)
    return try await mappingStreamErrors {
      try await pool.query("SELECT tidemark.merge_shards(\(id), \(shardID), \(otherID))")[0].decode(
        String.self
      )
    }
  }

  /// Keeps the retention of all streams: drops old log partitions, finished shards whose records are gone, and
  /// disabled streams that have nothing left. ``PostgresStream/run()`` does this now and then.
  public func maintain() async throws {
    try await mappingStreamErrors {
      try await pool.execute("SELECT tidemark.drop_dead_captures()")
      // One statement each, so that none holds up another.
      for row in try await pool.query("SELECT s.stream_id FROM tidemark.stream s ORDER BY s.stream_id") {
        let id = try row.decode(Int32.self)
        try await maintainCapture(of: id)
        try await pool.execute("SELECT tidemark.maintain_stream(\(id))")
      }
    }
  }

  /// What a dropped table's stream has not captured yet is still in the server's log.
  private func maintainCapture(of id: Int32) async throws {
    guard let state = try await CaptureState.of(id, on: pool) else { return }
    if let reason = try await pool.query("SELECT tidemark.maintain_logical_capture(\(id))")[0].decode(
      String?.self
    ) {
      logger.error("A stream has lost its capture", metadata: ["stream": "\(id)", "reason": "\(reason)"])
      return
    }
    let isThere = try await pool.query(
      "SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid = \(Int64(state.source.table))::oid)"
    )[0].decode(Bool.self)
    if !isThere { try await disable(id) }
  }

  private func capture(of id: Int32) -> LogicalCapture {
    LogicalCapture(stream: id, pool: pool, clock: ContinuousClock(), logger: logger)
  }

  private func find(_ stream: String) async throws -> Int32 {
    try await mappingStreamErrors {
      try await pool.query("SELECT tidemark.find_stream(\(stream))")[0].decode(Int32.self)
    }
  }

  private func describe(identifiedBy statement: PostgresStatement) async throws -> PostgresStreamDescription {
    let id = try await mappingStreamErrors { try await pool.query(statement)[0].decode(Int32.self) }
    return try await describe(id)
  }

  private func describe(_ id: Int32) async throws -> PostgresStreamDescription {
    let found = try await mappingStreamErrors {
      try await PostgresStreamDescription.all(on: pool, id: id).first
    }
    guard let found else { throw TidemarkError(.streamNotFound, "The stream \(id) is gone.") }
    return found
  }
}
