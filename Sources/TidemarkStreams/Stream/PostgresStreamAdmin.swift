import LibPQ
import Logging
import Tidemark
import TidemarkPostgres

/// Creates, changes and looks after the streams of a database.
///
/// A stream is named by its full name, or by its short one, which means the enabled stream of that name or else the
/// newest. The database's role is the owner of the schema `tidemark` or an ``PostgresRole/administrator``.
///
/// All calls throw ``TidemarkError``: `streamNotFound`, `streamDisabled`, `shardNotFound`, `unsupported` for a
/// table that cannot have a stream, `invalidConfiguration` for a bad argument, and `sourceUnavailable`.
public struct PostgresStreamAdmin: Sendable {
  public static let defaultRetention = Duration.seconds(24 * 60 * 60)
  public static let defaultShardCount = 4
  /// 16 GiB.
  public static let defaultMaximumSlotLag = 16 << 30
  /// 16 MiB.
  public static let defaultMaximumImageSize = 16 << 20

  let pool: PQPool
  let logger: Logger

  public init(_ pool: PQPool, logger: Logger = Logger(label: "tidemark.stream")) {
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
    shardCount: Int = defaultShardCount,
    sharding: PostgresStreamSettings.Sharding = .init()
  ) async throws -> PostgresStreamDescription {
    var settings = PostgresStreamSettings()
    settings.retention = retention
    settings.sharding = sharding
    return try await begin(
      """
      SELECT tidemark.create_stream(\(name), make_interval(secs => \(retention.inSeconds)),
        \(Int32(clamping: shardCount)))
      """,
      settings
    )
  }

  /// Captures the changes of a table from now on.
  ///
  /// Waits for transactions that have written to the table to end, and holds up new ones for half a second at a time,
  /// ten seconds in all. The table's key columns must not be renamed while the stream is enabled. When this fails or is
  /// cancelled, nothing has changed.
  ///
  /// In a database whose encoding is `SQL_ASCII` text may be no UTF-8. Such records are delivered, and to decode them is an
  /// error: see ``PostgresStreamDescription/encoding``.
  ///
  /// - Parameters:
  ///   - table: As in SQL: `orders`, `shop.orders`, `"Order"`.
  ///   - name: The stream's short name; otherwise the table's, with its schema unless that is `public`.
  ///   - expiryColumn: A `timestamptz`, `timestamp` or `date` (in UTC), or an `integer`, `bigint` or `numeric` that
  ///     counts seconds since 1970. Maintenance deletes the rows whose time has come, and the stream says so; never
  ///     those with `NULL`, an infinite time, or a number that is more than five years in the past. It should have an
  ///     index.
  ///   - capture: By logical decoding the call also waits for all transactions of the server that have written and not
  ///     ended, prepared ones too and however long that takes; the log says for which. It sets the table's REPLICA
  ///     IDENTITY to FULL until the stream is disabled.
  ///   - maximumSlotLag: The most bytes of write-ahead log that the stream's replication slot may keep the server from
  ///     removing; a stream that is behind by more is ended by whoever looks after streams (``maintainCaptures()``). While
  ///     nobody does, only the server's own limit holds: a warning says so where that is another one, with what to do
  ///     (``ReplicationSlotDescription/advice``). Only for capture by logical decoding.
  ///   - maximumImageSize: See ``PostgresStreamSettings/maximumImageSize``.
  @discardableResult
  public func enable(
    table: String,
    name: String? = nil,
    viewType: StreamViewType = .newAndOldImages,
    capture: StreamCapture = .trigger,
    maximumSlotLag: Int = defaultMaximumSlotLag,
    retention: Duration = defaultRetention,
    shardCount: Int = defaultShardCount,
    expiryColumn: String? = nil,
    maximumImageSize: Int = defaultMaximumImageSize,
    sharding: PostgresStreamSettings.Sharding = .init()
  ) async throws -> PostgresStreamDescription {
    var settings = PostgresStreamSettings()
    settings.retention = retention
    settings.expiryColumn = expiryColumn
    settings.maximumImageSize = maximumImageSize
    settings.sharding = sharding
    let source = try await reading(.administration, on: pool) {
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
      let wish = LogicalEnabling.Wish(
        table: source,
        name: name,
        viewType: viewType,
        shardCount: shardCount,
        maximumLag: Int64(maximumSlotLag),
        settings: settings
      )
      try await removeDeadCaptures()
      let stream = try await describe(
        try await LogicalEnabling(wish: wish, pool: pool, logger: logger).run()
      )
      if let advice = stream.slot?.advice {
        logger.warning("\(advice)", metadata: ["stream": "\(stream.fullName)"])
      }
      return stream
    }
    return try await begin(
      PQStatement(
        "SELECT tidemark.enable_stream($1::oid::regclass, $2, $3, make_interval(secs => $4), $5)",
        source,
        name,
        viewType.rawValue,
        retention.inSeconds,
        Int32(clamping: shardCount)
      ),
      settings,
      locking: source
    )
  }

  /// Changes what can be changed of a stream: retention, expiry, and how its shards manage themselves.
  ///
  /// - Parameter change: Gets the settings as they are.
  /// - Throws: `invalidConfiguration` with everything that is wrong with the new settings.
  @discardableResult
  public func alter(
    _ stream: String,
    _ change: (inout PostgresStreamSettings) -> Void
  ) async throws -> PostgresStreamDescription {
    let id = try await find(stream)
    var settings = try await describe(id).settings
    change(&settings)
    let altered = settings
    try await writing(.administration, on: pool) { try await altered.apply(to: id, on: pool) }
    return try await describe(id)
  }

  public func describe(_ stream: String) async throws -> PostgresStreamDescription {
    try await describe(try await find(stream))
  }

  /// All streams that still have records or take new ones, oldest first.
  public func list() async throws -> [PostgresStreamDescription] {
    try await reading(.administration, on: pool) { try await PostgresStreamDescription.all(on: pool) }
  }

  /// Appends a record to an enabled stream.
  ///
  /// - Parameters:
  ///   - idempotencyToken: 1 to 256 bytes that no other record of the stream has, such as a UUID. As long as the stream
  ///     keeps the record, another put with the same token appends nothing.
  ///   - database: A transaction of the caller's that the record shall commit with; otherwise it is committed at once.
  /// - Returns: whether the record was appended now; `false` if it was there, by its token.
  /// - Throws: ``TidemarkError``: `streamNotFound`, `streamDisabled`, `sourceUnavailable`; `outcomeUnknown` if the answer
  ///   was lost, and the record may be there or not: put it again, with the same token, or it may be there twice.
  @discardableResult
  public func put(
    _ data: [UInt8],
    partitionKey: String,
    to stream: String,
    idempotencyToken: String? = nil,
    using database: (any PQQueryable)? = nil
  ) async throws -> Bool {
    let statement: PQStatement =
      "SELECT tidemark.put(\(stream), \(partitionKey), \(data), \(idempotencyToken))"
    do {
      return try await writing(.putting, on: database == nil ? pool : nil) {
        try await (database ?? pool).query(statement)[0].decode(Bool.self)
      }
    } catch var error as TidemarkError where error.code == .outcomeUnknown {
      error.advice =
        idempotencyToken == nil
        ? "Put it again, and it may be there twice; with an idempotency token it would not."
        : "Put it again with the same idempotency token."
      throw error
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
    let statement = PQStatement("SELECT tidemark.split_shard($1, $2, $3)", id, shardID, top)
    return try await writing(.administration, on: pool) {
      try await pool.query(statement)[0].decode([String].self)
    }
  }

  /// Merges two open shards whose hash ranges touch.
  ///
  /// - Returns: the child's id.
  @discardableResult
  public func merge(_ shardID: String, _ otherID: String, of stream: String) async throws -> String {
    let id = try await find(stream)
    return try await writing(.administration, on: pool) {
      try await pool.query("SELECT tidemark.merge_shards(\(id), \(shardID), \(otherID))")[0].decode(
        String.self
      )
    }
  }

  /// Deletes the snapshot of an application. To have it start over with a new one delete its leases on the stream first, by
  /// `PostgresLeaseStore.deleteLeases(of:in:)`: with them it would go on without.
  ///
  /// - Throws: also ``TidemarkError/Code/invalidConfiguration`` while one of its workers makes the snapshot.
  public func dropSnapshot(of stream: String, for application: String) async throws {
    let id = try await find(stream)
    try await writing(.administration, on: pool) {
      _ = try await pool.query("SELECT tidemark.drop_snapshot(\(id), \(application))")
    }
  }

  func find(_ stream: String) async throws -> Int32 {
    try await reading(.administration, on: pool) {
      try await pool.query("SELECT tidemark.find_stream(\(stream))")[0].decode(Int32.self)
    }
  }

  /// Makes a stream, by a statement that returns its id, and gives it its settings.
  private func begin(
    _ statement: PQStatement,
    _ settings: PostgresStreamSettings,
    locking table: Int64? = nil
  ) async throws -> PostgresStreamDescription {
    let id = try await writing(.administration, on: pool) {
      try await lock(on: table, for: "Enabling the stream").taking {
        try await pool.transaction { transaction in
          let id = try await transaction.query(statement)[0].decode(Int32.self)
          try await settings.apply(to: id, on: transaction)
          return id
        }
      }
    }
    return try await describe(id)
  }

  func describe(_ id: Int32) async throws -> PostgresStreamDescription {
    let found = try await reading(.administration, on: pool) {
      try await PostgresStreamDescription.all(on: pool, id: id).first
    }
    guard let found else { throw TidemarkError(.streamNotFound, "The stream \(id) is gone.") }
    return found
  }
}
