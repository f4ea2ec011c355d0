import LibPQ
import Tidemark
import TidemarkPostgres

/// What can be changed of a stream while it is enabled.
public struct PostgresStreamSettings: Sendable, Hashable {
  /// How long records are kept: 1 second to 365 days; the default is 24 hours.
  public var retention = PostgresStreamAdmin.defaultRetention
  /// The column of the table that says when a row expires; `nil`: none does. See
  /// ``PostgresStreamAdmin/enable(table:name:viewType:retention:shardCount:expiryColumn:sharding:)``.
  public var expiryColumn: String?
  /// The most bytes that a row's image may have as JSON, 1 to 256 MiB; the default is 16 MiB. Larger ones are left out of
  /// records: see ``Change/omits(_:)``. A change of this applies to what is captured from then on, by decoding from when the
  /// capture begins its next session.
  public var maximumImageSize = PostgresStreamAdmin.defaultMaximumImageSize
  public var sharding = Sharding()

  public init() {}

  /// When shards are replaced by others without anybody asking for it.
  public struct Sharding: Sendable, Hashable {
    /// The age at which a shard is closed and goes on in a child of the same range, at least a second; `nil`:
    /// never. By its id a shard loses up to an eighth of it, so that not all come due at once. The default is 4 hours.
    public var rotateAfter: Duration? = .seconds(4 * 60 * 60)
    /// Records per second; a shard that gets as many for ``sustainedTime`` is split, unless they are mostly one
    /// item's. At least four times ``mergeBelow``. `nil`: never. The default is 1,000.
    public var splitAbove: Double? = 1000
    /// Records per second; neighbours that both get no more for ten times ``sustainedTime`` are merged. `nil`: never.
    /// The default is 10.
    public var mergeBelow: Double? = 10
    /// 1 second to 1 hour; the default is 30 seconds. Rates are counted over a quarter of it.
    public var sustainedTime = Duration.seconds(30)
    /// Merging leaves so many open shards. `nil` for a new stream: as many as it begins with.
    public var minimumShards: Int?
    /// Splitting makes no more open shards, at most 4,096. `nil` for a new stream: 256, or as many as it begins with
    /// if that is more.
    public var maximumShards: Int?

    public init() {}
  }
}

extension PostgresStreamSettings {
  /// The columns of `tidemark.stream`, named `s`, that ``init(_:)`` reads.
  static let columns = """
    date_part('epoch', s.retention) AS retention, s.expiry_column, date_part('epoch', s.rotate_after) AS rotate_after,
    s.split_above, s.merge_below, date_part('epoch', s.sustained_time) AS sustained_time, s.minimum_shards,
    s.maximum_shards, s.maximum_image_size
    """

  init(_ row: PQRow) throws {
    retention = .seconds(try row.decode("retention", as: Double.self))
    expiryColumn = try row.decode("expiry_column")
    sharding.rotateAfter = try row.decode("rotate_after", as: Double?.self).map { .seconds($0) }
    sharding.splitAbove = try row.decode("split_above")
    sharding.mergeBelow = try row.decode("merge_below")
    sharding.sustainedTime = .seconds(try row.decode("sustained_time", as: Double.self))
    sharding.minimumShards = Int(try row.decode("minimum_shards", as: Int32.self))
    sharding.maximumShards = Int(try row.decode("maximum_shards", as: Int32.self))
    maximumImageSize = Int(try row.decode("maximum_image_size", as: Int32.self))
  }

  /// - Parameter database: a transaction, for a stream that is made in it.
  func apply(to stream: Int32, on database: some PQQueryable) async throws {
    let statement = PQStatement(
      """
      SELECT tidemark.alter_stream(s.stream_id, make_interval(secs => $2), make_interval(secs => $3), $4, $5,
        make_interval(secs => $6), coalesce($7, s.minimum_shards), coalesce($8, s.maximum_shards), $9, $10)
      FROM tidemark.stream s WHERE s.stream_id = $1
      """,
      stream,
      retention.inSeconds,
      sharding.rotateAfter?.inSeconds,
      sharding.splitAbove,
      sharding.mergeBelow,
      sharding.sustainedTime.inSeconds,
      sharding.minimumShards.map { Int32(clamping: $0) },
      sharding.maximumShards.map { Int32(clamping: $0) },
      Int32(clamping: maximumImageSize),
      expiryColumn
    )
    try await database.execute(statement)
  }
}
