import LibPQ
import Tidemark

/// A stream as the database lists it.
public struct PostgresStreamDescription: Sendable, Hashable {
  public enum Status: String, Sendable, Hashable {
    case enabled = "ENABLED"
    /// Readable to its end until retention, and closed to new records.
    case disabled = "DISABLED"
  }

  /// The short name. Streams that were enabled one after the other on a table share it.
  public var name: String
  /// When the stream was created, in UTC: what tells streams of one name apart.
  public var label: String
  public var status: Status
  /// The table whose changes these are, with its schema; `nil` for a stream that only takes records by put.
  public var table: String?
  public var viewType: StreamViewType?
  /// How the table's changes are captured; `nil` without a table.
  public var capture: StreamCapture?
  /// That of a stream that is captured by decoding; `nil` for others, and once it is gone.
  public var slot: ReplicationSlotDescription?
  /// Why the stream ended before it was disabled: changes after that are missing.
  public var captureFailure: String?
  /// The table's primary key, in order.
  public var keyColumns: [String]
  public var settings: PostgresStreamSettings
  /// Whether an index begins with the expiry column; without, every look for expired rows reads the whole table.
  public var hasExpiryIndex: Bool
  public var createdAt: Timestamp
  public var disabledAt: Timestamp?
  /// Open and closed, oldest first.
  public var shards: [Shard]
  /// Oldest first. Their shards are not among ``shards``.
  public var snapshots: [PostgresSnapshotDescription]
  /// Oldest first, for as long as retention.
  public var jumps: [PostgresJumpDescription]
  /// What was found to be wrong with what it was enabled with, oldest first, for as long as retention. From
  /// ``PostgresStreamProblem/wellAt`` until ``PostgresStreamProblem/goneAt`` changes may be missing.
  public var problems: [PostgresStreamProblem]
  /// By the shards' ids.
  public var shardStatus: [String: PostgresShardStatus]
  /// That of the database, such as `UTF8`. With `SQL_ASCII` texts may be no UTF-8, which processors cannot decode.
  public var encoding: String

  public var retention: Duration { settings.retention }

  /// The name that means this stream alone.
  public var fullName: String { "\(name)/\(label)" }
}

extension PostgresStreamDescription {
  /// - Parameter id: only this stream, if given.
  static func all(on pool: PQPool, id: Int32? = nil) async throws -> [PostgresStreamDescription] {
    let rows = try await pool.query(
      PQStatement(
        """
        SELECT s.stream_id, s.name, s.label, s.status, s.source_name, s.view_type,
          coalesce(s.key_columns, '{}') AS key_columns,
          (date_part('epoch', s.created_at) * 1000000)::bigint AS created_at,
          (date_part('epoch', s.disabled_at) * 1000000)::bigint AS disabled_at,
          getdatabaseencoding()::text AS encoding,
          EXISTS (SELECT FROM pg_index i
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = s.expiry_column
            WHERE i.indrelid = s.source_table AND i.indkey[0] = a.attnum AND i.indisvalid) AS has_expiry_index,
          \(PostgresStreamSettings.columns)
        FROM tidemark.stream s WHERE s.stream_id = coalesce($1, s.stream_id) ORDER BY s.stream_id
        """,
        id
      )
    )
    var streams: [PostgresStreamDescription] = []
    for row in rows {
      let id = try row.decode("stream_id", as: Int32.self)
      var stream = try PostgresStreamDescription(
        row,
        shards: try await Shard.list(
          of: "\(row.decode("name", as: String.self))/\(row.decode("label", as: String.self))",
          for: nil,
          on: pool
        ),
        shardStatus: try await PostgresShardStatus.all(of: id, on: pool),
        snapshots: try await PostgresSnapshotDescription.list(of: id, on: pool),
        jumps: try await PostgresJumpDescription.list(of: id, on: pool),
        problems: try await PostgresStreamProblem.all(of: id, on: pool)
      )
      try await stream.addCapture(of: id, on: pool)
      streams.append(stream)
    }
    return streams
  }

  private init(
    _ row: PQRow,
    shards: [Shard],
    shardStatus: [String: PostgresShardStatus],
    snapshots: [PostgresSnapshotDescription],
    jumps: [PostgresJumpDescription],
    problems: [PostgresStreamProblem]
  ) throws {
    name = try row.decode("name")
    label = try row.decode("label")
    status = try row.decode("status", as: String.self) == Status.enabled.rawValue ? .enabled : .disabled
    table = try row.decode("source_name")
    viewType = try row.decode("view_type", as: String?.self).flatMap { StreamViewType(rawValue: $0) }
    keyColumns = try row.decode("key_columns")
    settings = try PostgresStreamSettings(row)
    hasExpiryIndex = try row.decode("has_expiry_index")
    createdAt = Timestamp(microsecondsSinceEpoch: try row.decode("created_at"))
    disabledAt = try row.decode("disabled_at", as: Int64?.self).map { Timestamp(microsecondsSinceEpoch: $0) }
    self.shards = shards
    self.shardStatus = shardStatus
    self.snapshots = snapshots
    self.jumps = jumps
    self.problems = problems
    encoding = try row.decode("encoding")
  }
}
