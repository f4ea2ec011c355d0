import Testing
import Tidemark

@testable import LibPQ
@testable import TidemarkStreams

@Suite("Decoding what pgoutput writes")
struct OutputMessageTests {
  /// A message from text, where numbers are in braces: `{4:7}` is 7 in four bytes.
  private func bytes(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = text[...]
    while let first = rest.first {
      if first == "{", let end = rest.firstIndex(of: "}") {
        let parts = rest[rest.index(after: rest.startIndex)..<end].split(separator: ":")
        let value = UInt64(parts[1]) ?? 0
        let size = Int(parts[0]) ?? 0
        for index in (0..<size).reversed() { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
        rest = rest[rest.index(after: end)...]
      } else {
        bytes.append(contentsOf: String(first).utf8)
        rest.removeFirst()
      }
    }
    return bytes
  }

  private static let begin = "B{8:100}{8:5}{4:7}"
  private static let commit = "C{1:0}{8:100}{8:120}{8:5}"
  private static let relation =
    "R{4:9}public{1:0}item{1:0}f{2:2}{1:1}id{1:0}{4:23}{4:0}{1:1}at{1:0}{4:1184}{4:0}"
  private static let insert = "I{4:9}N{2:2}t{4:1}7n"
  private static let update = "U{4:9}O{2:2}t{4:1}7nN{2:2}t{4:1}8t{4:22}2026-01-02 03:04:05+00"
  private static let delete = "D{4:9}O{2:2}t{4:1}7n"
  private static let all = [begin, relation, insert, update, delete, commit]

  private func decode(
    _ messages: [String],
    from start: CapturePosition = CapturePosition(lsn: PQLSN(rawValue: 50), changes: 0),
    viewType: StreamViewType = .newAndOldImages,
    end: PQLSN? = nil
  ) throws -> (CapturedBatch, CapturePosition) {
    let source = CaptureDecoder.Source(
      stream: 1,
      table: 9,
      keyColumns: ["id"],
      viewType: viewType,
      messagePrefix: "tidemark_1",
      end: end
    )
    var decoder = CaptureDecoder(source, from: start)
    var batch = CapturedBatch()
    for message in messages {
      let isKeepalive = message.hasPrefix("k")
      let frame = (isKeepalive ? [] : bytes("w{8:0}{8:0}{8:0}")) + bytes(message)
      var chunk = PQReplicationChunk()
      frame.withUnsafeBytes { chunk.append($0) }
      var offset = 0
      if let changed = try decoder.decode(chunk, from: &offset, into: &batch) {
        try decoder.define(changed, formats: [23: .number, 1184: .timestampWithZone])
      }
    }
    return (batch, decoder.position)
  }

  private func texts(_ column: CapturedColumn) -> [String?] {
    column.bytes.withUnsafeBytes { bytes in
      var offset = 0
      return (0..<column.count).map { _ in
        let length = Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
        offset += 4 + max(length, 0)
        return length < 0 ? nil : String(decoding: bytes[(offset - length)..<offset], as: UTF8.self)
      }
    }
  }

  @Test("A transaction becomes records; another key is a removal and an insertion")
  func transaction() throws {
    let (batch, position) = try decode(Self.all)
    #expect(texts(batch.events) == ["INSERT", "REMOVE", "INSERT", "REMOVE"])
    #expect(texts(batch.keys) == [#"{"id":7}"#, #"{"id":7}"#, #"{"id":8}"#, #"{"id":7}"#])
    let old = #"{"id":7,"at":null}"#
    #expect(texts(batch.newImages) == [old, nil, #"{"id":8,"at":"2026-01-02T03:04:05+00:00"}"#, nil])
    #expect(texts(batch.oldImages) == [nil, old, nil, old])
    #expect(position == CapturePosition(lsn: PQLSN(rawValue: 120), changes: 0))
  }

  @Test("Changes that are in the log already are left out, wherever the last append ended", arguments: 0...3)
  func resumed(changes: Int) throws {
    let start = CapturePosition(lsn: PQLSN(rawValue: 90), changes: Int64(changes))
    let (batch, position) = try decode(Self.all, from: start)
    #expect(batch.count == [4, 3, 1, 0][changes])
    #expect(position == CapturePosition(lsn: PQLSN(rawValue: 120), changes: 0))
    let (half, middle) = try decode(Array(Self.all.prefix(4)), from: start)
    #expect(half.count == [3, 2, 0, 0][changes])
    #expect(middle == CapturePosition(lsn: PQLSN(rawValue: 90), changes: max(2, Int64(changes))))
  }

  @Test("Transactions before the place and after the stream's end are left out")
  func outside() throws {
    let behind = CapturePosition(lsn: PQLSN(rawValue: 101), changes: 0)
    #expect(try decode(Self.all, from: behind).0.count == 0)
    #expect(try decode(Self.all, end: PQLSN(rawValue: 100)).0.count == 0)
    #expect(try decode(Self.all, end: PQLSN(rawValue: 101)).0.count == 4)
  }

  @Test("The place never passes how far the capture may go", arguments: [90, 100])
  func bounded(end: UInt64) throws {
    let place = CapturePosition(lsn: PQLSN(rawValue: end), changes: 0)
    #expect(try decode([Self.begin], end: place.lsn).1 == place)
    #expect(try decode(Self.all + ["k{8:130}{8:0}{1:0}"], end: place.lsn).1 == place)
  }

  @Test("A keepalive moves the place between transactions and not within one")
  func keepalives() throws {
    let keepalive = "k{8:110}{8:0}{1:0}"
    #expect(try decode([keepalive]).1.lsn.rawValue == 110)
    #expect(try decode([Self.begin, Self.relation, Self.insert, keepalive]).1.lsn.rawValue == 50)
  }

  @Test("An update of nothing is no record, but counts, and unchanged large values are the old ones")
  func unchanged() throws {
    let same = "U{4:9}O{2:2}t{4:1}7t{4:1}xN{2:2}t{4:1}7u"
    let (batch, position) = try decode([Self.begin, Self.relation, same])
    #expect(batch.count == 0)
    #expect(position.changes == 1)
  }

  @Test("Records say whether a TRUNCATE or the expiry job has deleted")
  func truncateAndExpiry() throws {
    let content = #"{"id":7}"# + "\u{1}" + #"{"id":7,"at":null}"#
    let message = "M{1:1}{8:0}tidemark_1{1:0}{4:\(content.utf8.count)}"
    let run = "R{4:5}tidemark{1:0}expiry_run{1:0}d{2:1}{1:1}stream_id{1:0}{4:23}{4:0}"
    let (expired, _) = try decode([
      Self.begin, Self.relation, run, "I{4:5}N{2:1}t{4:1}1", Self.delete, "D{4:5}K{2:1}t{4:1}1", Self.delete,
      "I{4:5}N{2:1}t{4:1}2", Self.delete,
    ])
    #expect(texts(expired.causes) == ["E", nil, nil])
    // Braces are the helper's own, so the content is put after what it made.
    var chunk = PQReplicationChunk()
    (bytes("w{8:0}{8:0}{8:0}") + bytes(message) + Array(content.utf8)).withUnsafeBytes { chunk.append($0) }
    var decoder = CaptureDecoder(
      CaptureDecoder.Source(
        stream: 1,
        table: 9,
        keyColumns: ["id"],
        viewType: .newAndOldImages,
        messagePrefix: "tidemark_1"
      ),
      from: CapturePosition(lsn: PQLSN(rawValue: 50), changes: 0)
    )
    var begin = PQReplicationChunk()
    (bytes("w{8:0}{8:0}{8:0}") + bytes(Self.begin)).withUnsafeBytes { begin.append($0) }
    var batch = CapturedBatch()
    for chunk in [begin, chunk] {
      var offset = 0
      _ = try decoder.decode(chunk, from: &offset, into: &batch)
    }
    #expect(texts(batch.events) == ["REMOVE"])
    #expect(texts(batch.keys) == [#"{"id":7}"#])
    #expect(texts(batch.oldImages) == [#"{"id":7,"at":null}"#])
  }

  @Test("A message that is cut short anywhere is refused", arguments: all)
  func cutShort(message: String) throws {
    let whole = bytes(message)
    for length in 1..<whole.count {
      #expect(throws: TidemarkError.self, "\(length) of \(whole.count) bytes") {
        try whole.prefix(length).withUnsafeBytes { part in
          guard case .row(let kind, _, let reader) = try OutputMessage(part) else { return }
          var tuples = RowTuples()
          try tuples.read(kind, reader)
        }
      }
    }
  }

  @Test(
    "What this protocol does not have is refused by name",
    arguments: [
      "X", "S{4:1}{1:1}", "I{4:9}Z", "I{4:9}N{2:1}b{4:1}x", "\(begin)x", "\(insert)x", "D{4:9}N{2:1}n",
    ]
  )
  func unknown(message: String) throws {
    let error = try #require(throws: TidemarkError.self) {
      try bytes(message).withUnsafeBytes { part in
        guard case .row(let kind, _, let reader) = try OutputMessage(part) else { return }
        var tuples = RowTuples()
        try tuples.read(kind, reader)
      }
    }
    #expect(error.message.contains("Cannot decode"))
    #expect(error.advice != nil)
  }

  @Test("A row without the old one says what has become of the REPLICA IDENTITY")
  func noOldRow() throws {
    let error = try #require(throws: TidemarkError.self) {
      try decode([Self.begin, Self.relation, "D{4:9}K{2:2}t{4:1}7n"])
    }
    #expect(error.message.contains("REPLICA IDENTITY"))
  }

  @Test(
    "Texts that are no array and no row are refused",
    arguments: ["", "{", "{1", "{1}}", "{\"1", "{\"1\\", "(1", "(1,2,3)", "(1)", "1"]
  )
  func malformedValues(text: String) {
    let row = JSONFormat.composite([
      .init(label: [], format: .number), .init(label: [], format: .text),
    ])
    for format in [JSONFormat.array(of: .number, delimiter: 0x2c), row] {
      guard text != "1" || format == row else { continue }
      var json: [UInt8] = []
      #expect(throws: TidemarkError.self) {
        try Array(text.utf8).withUnsafeBytes { try JSONText.append($0, as: format, to: &json) }
      }
    }
  }
}
