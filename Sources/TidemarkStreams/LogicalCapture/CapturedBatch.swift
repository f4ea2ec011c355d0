import LibPQ
import Tidemark

/// How far a stream's table has been captured.
package struct CapturePosition: Sendable, Equatable {
  /// Transactions whose commit stands before this place are in the log as a whole.
  package var lsn: PQLSN
  /// How many changes of the next transaction are in the log already.
  package var changes: Int64

  package init(lsn: PQLSN, changes: Int64) {
    self.lsn = lsn
    self.changes = changes
  }
}

/// Records that are ready to be appended, as the arrays that the statement takes.
package struct CapturedBatch: Sendable {
  /// Where this batch ends; nil as long as nothing was decoded into it.
  var position: CapturePosition?
  package private(set) var events = CapturedColumn(.text)
  package private(set) var keys = CapturedColumn(.text)
  package private(set) var newImages = CapturedColumn(.json)
  private(set) var oldImages = CapturedColumn(.json)
  private(set) var causes = CapturedColumn(.text)
  private(set) var sizes = CapturedColumn(.int4)
  private(set) var times = CapturedColumn(PQType(rawValue: 1184))
  private var bytes = 0

  static let maximumRecords = 4000
  static let maximumBytes = 8 << 20

  package var count: Int { events.count }
  var isFull: Bool { count >= Self.maximumRecords || bytes >= Self.maximumBytes }

  /// Appends the record of a change.
  ///
  /// - Parameters:
  ///   - time: microseconds from 2000.
  ///   - keyRow: the row whose key it is.
  mutating func append(
    _ event: Change.EventName,
    isExpired: Bool = false,
    time: Int64,
    _ format: RowFormat,
    keyRow: TupleFields,
    new: TupleFields?,
    old: TupleFields?
  ) throws {
    var size = try keys.append { try format.appendKey(of: keyRow, to: &$0) }
    if let new { size += try newImages.append { try format.appendImage(of: new, to: &$0) } }
    if let old { size += try oldImages.append { try format.appendImage(of: old, to: &$0) } }
    if new == nil { newImages.appendNull() }
    if old == nil { oldImages.appendNull() }
    finish(event, isExpired: isExpired, time: time, size: size)
  }

  /// Appends the removal of a row whose key and image are JSON already.
  mutating func appendRemoval(
    key: Slice<UnsafeRawBufferPointer>,
    old: Slice<UnsafeRawBufferPointer>?,
    time: Int64
  ) {
    keys.append(text: key)
    newImages.appendNull()
    if let old { oldImages.append(text: old) } else { oldImages.appendNull() }
    finish(.remove, isExpired: false, time: time, size: key.count + (old?.count ?? 0))
  }

  private mutating func finish(_ event: Change.EventName, isExpired: Bool, time: Int64, size: Int) {
    events.append(text: event.rawValue.utf8)
    if isExpired { causes.append(text: CollectionOfOne(UInt8(ascii: "E"))) } else { causes.appendNull() }
    sizes.append(integer: Int32(clamping: size))
    times.append(integer: time)
    bytes += size
  }

  mutating func removeAll() {
    position = nil
    bytes = 0
    events.removeAll()
    keys.removeAll()
    newImages.removeAll()
    oldImages.removeAll()
    causes.removeAll()
    sizes.removeAll()
    times.removeAll()
  }
}
