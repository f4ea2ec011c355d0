import LibPQ
import Tidemark
import TidemarkPostgres

/// What the database says about the capture of an enabled stream, and about its slot.
package struct CaptureState: Sendable {
  package var captureID: Int32
  package var source: CaptureDecoder.Source
  package var position: CapturePosition
  /// Whether the database's encoding is UTF-8.
  package var isUTF8: Bool
  /// Whether there is nothing to capture until something else has happened: see `tidemark.capture_state`.
  package var isHeld: Bool
  /// nil when the slot is gone.
  package var slot: Slot?

  package struct Slot: Sendable {
    package var name: String
    /// Whether somebody has it.
    package var isActive: Bool
    /// Everything before is in the log; nil before the slot's first place is found.
    package var confirmed: PQLSN?

    package init(name: String, isActive: Bool, confirmed: PQLSN?) {
      self.name = name
      self.isActive = isActive
      self.confirmed = confirmed
    }
  }

  package init(
    captureID: Int32,
    source: CaptureDecoder.Source,
    position: CapturePosition,
    isUTF8: Bool = true,
    isHeld: Bool,
    slot: Slot?
  ) {
    self.captureID = captureID
    self.source = source
    self.position = position
    self.isUTF8 = isUTF8
    self.isHeld = isHeld
    self.slot = slot
  }

  /// - Returns: nil when the stream is not enabled, or not captured by decoding.
  static func of(_ stream: Int32, on pool: PQPool) async throws -> CaptureState? {
    try await reading(.capture, on: pool) {
      let rows = try await pool.query(
        """
        SELECT capture_id, slot, source_table,
          ARRAY(SELECT convert_to(k, getdatabaseencoding()) FROM unnest(key_columns) AS k), view_type,
          maximum_image_size, message_prefix, ends_at, lsn, changes, is_active, confirmed, is_held,
          getdatabaseencoding() = 'UTF8'
        FROM tidemark.capture_state(\(stream))
        """
      )
      guard let row = rows.first else { return nil }
      let (
        capture, slot, table, keys, viewType, maximumImageSize, prefix, end, lsn, changes,
        isActive, confirmed, isHeld, isUTF8
      ) =
        try row.decode(
          (
            Int32, String?, Int64, [[UInt8]], String, Int32, [UInt8], String?, String, Int64, Bool?, String?,
            Bool, Bool
          ).self
        )
      return CaptureState(
        captureID: capture,
        source: CaptureDecoder.Source(
          stream: stream,
          table: UInt32(truncatingIfNeeded: table),
          keyColumns: keys.map { ServerText($0) },
          viewType: StreamViewType(rawValue: viewType) ?? .newAndOldImages,
          maximumImageSize: Int(maximumImageSize),
          messagePrefix: ServerText(prefix),
          end: end.flatMap { PQLSN($0) }
        ),
        position: CapturePosition(lsn: try place(lsn), changes: changes),
        isUTF8: isUTF8,
        isHeld: isHeld,
        slot: slot.map {
          Slot(name: $0, isActive: isActive ?? false, confirmed: confirmed.flatMap { PQLSN($0) })
        }
      )
    }
  }

  static func place(_ text: String) throws -> PQLSN {
    guard let place = PQLSN(text) else {
      throw TidemarkError.undecodable("\(text) is no place in the write-ahead log")
    }
    return place
  }
}
