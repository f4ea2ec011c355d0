import LibPQ
import Tidemark
import TidemarkPostgres

/// A capture's place and records in the database of its table.
struct PostgresCaptureStore: CaptureStore {
  /// The settings that the trigger's function has, for values spelled alike.
  private static let settings = [
    "TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres", "bytea_output": "hex",
    "extra_float_digits": "1", "search_path": "pg_catalog,pg_temp",
    // As the database has them: what has no UTF-8 would end the session, again and again.
    "client_encoding": "SQL_ASCII",
    // A process that is paused for longer loses the slot to another.
    "wal_sender_timeout": "5s",
  ]

  let stream: Int32
  let pool: PQPool

  func state() async throws -> CaptureState? { try await CaptureState.of(stream, on: pool) }

  func open(_ state: CaptureState, slot: String) async throws -> any CaptureFeed {
    var configuration = PQReplication.Configuration(
      slot: slot,
      options: [
        "proto_version": "1", "publication_names": "\"tidemark_\(state.captureID)\"", "messages": "true",
      ],
      start: state.position.lsn
    )
    configuration.settings = Self.settings
    return try await pool.startReplication(configuration)
  }

  func formats(of types: [UInt32]) async throws -> [UInt32: JSONFormat] {
    let catalog = try await FormatCatalog.of(types, on: pool)
    return Dictionary(uniqueKeysWithValues: types.map { ($0, catalog.format(of: $0)) })
  }

  func append(
    _ batch: CapturedBatch,
    from start: CapturePosition,
    to end: CapturePosition,
    _ state: CaptureState
  ) async throws -> Bool {
    try await reading(.capture, on: pool) {
      let (keys, newImages, oldImages): (any CapturedArray, any CapturedArray, any CapturedArray) =
        state.isUTF8
        ? (
          CapturedTexts(column: batch.keys), CapturedImages(column: batch.newImages),
          CapturedImages(column: batch.oldImages)
        )
        : (CapturedBytes(batch.keys), CapturedBytes(batch.newImages), CapturedBytes(batch.oldImages))
      let texts = state.isUTF8 ? ["$9", "$10", "$11"] : ["$9", "$10", "$11"].map { Self.text(ofBytes: $0) }
      let statement = PQStatement(
        """
        SELECT tidemark.append_captured($1, $2, $3::pg_lsn, $4::pg_lsn, $5, $6::pg_lsn, $7, $8, \(texts[0]),
          \(texts[1])::json[], \(texts[2])::json[], $12, $13, $14)
        """,
        stream,
        state.captureID,
        state.source.end?.description,
        start.lsn.description,
        start.changes,
        end.lsn.description,
        end.changes,
        CapturedTexts(column: batch.events),
        keys,
        newImages,
        oldImages,
        CapturedTexts(column: batch.causes),
        CapturedIntegers(column: batch.sizes),
        CapturedTimes(column: batch.times)
      )
      let rows = try await pool.writingLog { try await $0.query(statement) }
      return try rows[0].decode(Bool.self)
    }
  }

  /// Nothing is converted from the database's encoding to itself.
  private static func text(ofBytes array: String) -> String {
    """
    ARRAY(SELECT convert_from(b.value, getdatabaseencoding())
      FROM unnest(\(array)) WITH ORDINALITY AS b (value, number) ORDER BY b.number)
    """
  }

  func end(because reason: String) async throws {
    _ = try await reading(.capture, on: pool) {
      try await pool.execute("SELECT tidemark.fail_stream(\(stream), \(reason))")
    }
  }

  func endIfLost() async throws -> String? {
    try await reading(.capture, on: pool) {
      try await pool.query("SELECT tidemark.maintain_logical_capture(\(stream))")[0].decode(String?.self)
    }
  }
}
