import LibPQ
import Tidemark

/// Turns the messages of a replication slot into the records of one stream. Knows no connection and no clock.
package struct CaptureDecoder {
  package struct Source: Sendable {
    package var stream: Int32
    package var table: UInt32
    package var keyColumns: [ServerText]
    package var viewType: StreamViewType
    /// A larger image is left out.
    package var maximumImageSize: Int
    /// The prefix of this capture's own messages: see `tidemark.create_truncate_function`.
    package var messagePrefix: ServerText
    /// Transactions that commit after this place are left out, and the position never passes it: the stream's end, or
    /// the cut of a snapshot.
    package var end: PQLSN?

    package init(
      stream: Int32,
      table: UInt32,
      keyColumns: [ServerText],
      viewType: StreamViewType,
      maximumImageSize: Int = PostgresStreamAdmin.defaultMaximumImageSize,
      messagePrefix: ServerText,
      end: PQLSN? = nil
    ) {
      self.stream = stream
      self.table = table
      self.keyColumns = keyColumns
      self.viewType = viewType
      self.maximumImageSize = maximumImageSize
      self.messagePrefix = messagePrefix
      self.end = end
    }
  }

  private struct Transaction {
    var time: Int64
    var isSkipped: Bool
    /// Whether the expiry job is deleting.
    var isExpiring = false
    /// Whether the trigger has written what a `TRUNCATE` removes.
    var isTruncating = false
    var changes: Int64 = 0
  }

  let source: Source
  private(set) var position: CapturePosition
  private var format: RowFormat?
  private var expiryRuns: UInt32?
  private var transaction: Transaction?
  private var rows = RowTuples()
  private let keepsNew: Bool
  private let keepsOld: Bool

  /// - Parameter position: up to where the log has everything.
  init(_ source: Source, from position: CapturePosition) {
    self.source = source
    self.position = position
    keepsNew = source.viewType == .newImage || source.viewType == .newAndOldImages
    keepsOld = source.viewType == .oldImage || source.viewType == .newAndOldImages
  }

  /// Decodes until the batch is full or the chunk is read.
  ///
  /// - Parameter offset: where to go on in the chunk.
  /// - Returns: the table as it is from here on, when it has changed: ``define(_:formats:)`` must follow.
  mutating func decode(
    _ chunk: PQReplicationChunk,
    from offset: inout Int,
    into batch: inout CapturedBatch
  ) throws -> OutputMessage.Relation? {
    var changed: OutputMessage.Relation?
    try chunk.read(from: &offset) { message in
      switch message {
      case .keepalive(let place): noteKeepalive(place)
      case .change(_, let bytes): changed = try take(OutputMessage(bytes), into: &batch)
      }
      return changed == nil && !batch.isFull
    }
    batch.position = position
    return changed
  }

  mutating func define(_ relation: OutputMessage.Relation, formats: [UInt32: JSONFormat]) throws {
    format = try RowFormat(
      relation,
      keyColumns: source.keyColumns,
      formats: formats,
      maximumImageSize: source.maximumImageSize
    )
  }

  /// Between transactions the server's place is this one's, too: so other tables' changes are not kept for it.
  private mutating func noteKeepalive(_ place: PQLSN) {
    if transaction == nil { advance(to: place) }
  }

  private mutating func advance(to place: PQLSN) {
    position.lsn = max(position.lsn, min(place, source.end ?? place))
  }

  private mutating func take(_ message: OutputMessage, into batch: inout CapturedBatch) throws
    -> OutputMessage.Relation?
  {
    switch message {
    case .begin(let final, let time):
      let isOver = source.end.map { final >= $0 } ?? false
      // Commits come in order.
      if isOver { advance(to: final) }
      transaction = Transaction(time: time, isSkipped: final < position.lsn || isOver)
    case .commit(let end):
      // One without changes of the table is not the one that the place counts changes of: the server may have left it out
      // of an earlier session, and send it now.
      let hasChanged = (transaction?.changes ?? 0) > 0
      if transaction?.isSkipped == false, hasChanged { position.changes = 0 }
      advance(to: end)
      transaction = nil
    case .relation(let relation):
      if relation.id == source.table { return relation }
      if relation.schema == "tidemark", relation.name == "expiry_run" { expiryRuns = relation.id }
    case .row(let kind, let relation, let reader):
      try takeRow(kind, relation, reader, into: &batch)
    case .message(let prefix, true, let content) where prefix == source.messagePrefix:
      if content.isEmpty {
        transaction?.isTruncating = true
      } else if takesChange() {
        try takeTruncated(content, into: &batch)
      }
    case .truncate(let relations) where relations.contains(source.table):
      if let transaction, !transaction.isSkipped, !transaction.isTruncating { throw TidemarkError.truncated }
      // The next one in this transaction needs a trigger of its own.
      transaction?.isTruncating = false
    case .message, .truncate, .other:
      break
    }
    return nil
  }

  /// Whether the next change is not in the log yet. It counts as in there from now on.
  private mutating func takesChange() -> Bool {
    guard transaction?.isSkipped == false else { return false }
    transaction?.changes += 1
    guard let number = transaction?.changes, number > position.changes else { return false }
    position.changes = number
    return true
  }

  private mutating func takeRow(
    _ kind: OutputMessage.RowKind,
    _ relation: UInt32,
    _ reader: MessageReader,
    into batch: inout CapturedBatch
  ) throws {
    if relation == expiryRuns { return try takeExpiryRun(kind, reader) }
    guard relation == source.table, takesChange(), let transaction else { return }
    guard let format else { throw TidemarkError.undecodable("a row came before its table") }
    try rows.read(kind, reader)
    if kind != .insert, !rows.hasOld { throw TidemarkError.noOldRow }
    let time = transaction.time
    let old = keepsOld ? rows.old : nil
    switch kind {
    case .insert:
      let new = keepsNew ? rows.new : nil
      try batch.append(.insert, time: time, format, keyRow: rows.new, new: new, old: nil)
    case .delete:
      let isExpired = transaction.isExpiring
      try batch.append(
        .remove,
        isExpired: isExpired,
        time: time,
        format,
        keyRow: rows.old,
        new: nil,
        old: old
      )
    case .update:
      try rows.new.takeUnchanged(from: rows.old)
      let new = keepsNew ? rows.new : nil
      if rows.old.fields == rows.new.fields { return }
      if format.hasSameKey(rows.old, rows.new) {
        try batch.append(.modify, time: time, format, keyRow: rows.new, new: new, old: old)
      } else {
        // Another key is another item.
        try batch.append(.remove, time: time, format, keyRow: rows.old, new: nil, old: old)
        try batch.append(.insert, time: time, format, keyRow: rows.new, new: new, old: nil)
      }
    }
  }

  /// The key and, if the view type has it, the image of a row that `TRUNCATE` removes, parted by a byte that no JSON
  /// has.
  private func takeTruncated(_ content: UnsafeRawBufferPointer, into batch: inout CapturedBatch) throws {
    guard let transaction else { return }
    let separator = content.firstIndex(of: 1)
    batch.appendRemoval(
      key: content[..<(separator ?? content.endIndex)],
      old: separator.map { content[($0 + 1)...] },
      time: transaction.time
    )
  }

  /// The expiry job writes a row before it deletes, and takes it away afterwards.
  private mutating func takeExpiryRun(_ kind: OutputMessage.RowKind, _ reader: MessageReader) throws {
    try rows.read(kind, reader)
    let row = kind == .delete ? rows.old : rows.new
    guard case .text(let stream)? = row.fields.first, stream.elementsEqual(String(source.stream).utf8) else {
      return
    }
    transaction?.isExpiring = kind != .delete
  }
}

extension TidemarkError {
  fileprivate static let noOldRow = TidemarkError(
    .unsupported,
    "The table's REPLICA IDENTITY is not FULL any more, so that changes come without the old row.",
    advice: "Leave it as the stream has set it. To go on, disable the stream and enable it again."
  )

  fileprivate static let truncated = TidemarkError(
    .unsupported,
    "The table was emptied by TRUNCATE while the trigger that writes down its rows was disabled or gone.",
    advice: "Bring what you derive from the stream in line with the table, and enable it again."
  )
}
