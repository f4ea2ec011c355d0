import PostgresClient
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
  public var retention: Duration
  public var createdAt: Timestamp
  public var disabledAt: Timestamp?
  /// Open and closed, oldest first.
  public var shards: [Shard]

  /// The name that stands in leases.
  public var fullName: String { "\(name)/\(label)" }
}

extension PostgresStreamDescription {
  /// - Parameter id: only this stream, if given.
  static func all(on pool: PostgresPool, id: Int32? = nil) async throws -> [PostgresStreamDescription] {
    let rows = try await pool.query(
      PostgresStatement(
        """
        SELECT s.stream_id, s.name, s.label, s.status, s.source_name, s.view_type, coalesce(s.key_columns, '{}'),
          date_part('epoch', s.retention), (date_part('epoch', s.created_at) * 1000000)::bigint,
          (date_part('epoch', s.disabled_at) * 1000000)::bigint
        FROM tidemark.stream s WHERE s.stream_id = coalesce($1, s.stream_id) ORDER BY s.stream_id
        """,
        id
      )
    )
    var streams: [PostgresStreamDescription] = []
    for row in rows {
      let (id, name, label, status, table, viewType, keys, retention, created, disabled) = try row.decode(
        (Int32, String, String, String, String?, String?, [String], Double, Int64, Int64?).self
      )
      var stream = PostgresStreamDescription(
        name: name,
        label: label,
        status: status == Status.enabled.rawValue ? .enabled : .disabled,
        table: table,
        viewType: viewType.flatMap { StreamViewType(rawValue: $0) },
        keyColumns: keys,
        retention: .seconds(retention),
        createdAt: Timestamp(microsecondsSinceEpoch: created),
        disabledAt: disabled.map { Timestamp(microsecondsSinceEpoch: $0) },
        shards: try await Shard.list(of: id, on: pool)
      )
      try await stream.addCapture(of: id, on: pool)
      streams.append(stream)
    }
    return streams
  }
}
