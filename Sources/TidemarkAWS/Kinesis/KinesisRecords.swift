#if AWS
import NIOCore
import Tidemark

/// The records of one answer, which stays as it came; only the data is decoded, into one buffer.
///
/// `@unchecked Sendable`: it changes only while ``RecordsAnswer`` makes it.
final class KinesisRecords: RecordStorage, @unchecked Sendable {
  /// Where the parts of a record lie, counted in bytes.
  private struct Entry {
    var sequenceNumber = 0..<0
    var partitionKey = JSONScanner.Text(range: 0..<0, hasEscapes: false)
    var creationTime = Timestamp(microsecondsSinceEpoch: 0)
    /// In the buffer of decoded data.
    var data = 0..<0
    /// What a record that a producer packed into another has of its own, the key in the buffer of decoded data.
    var packed: (subSequenceNumber: UInt64, partitionKey: Range<Int>)?
  }

  private let body: ByteBuffer
  let shardID: String
  private let hashKeys: ShardHashKeys?
  private let decoded: UnsafeMutableRawBufferPointer
  private var decodedCount = 0
  private var entries: ContiguousArray<Entry> = []
  private var firstNumber: Range<Int>?
  private var last: (number: Range<Int>, subSequenceNumber: UInt64)?
  private(set) var foreign: [ForeignRecords.Fate: ForeignRecords] = [:]

  var count: Int { entries.count }

  init(_ body: ByteBuffer, shardID: String, hashKeys: ShardHashKeys?) {
    self.body = body
    self.shardID = shardID
    self.hashKeys = hashKeys
    // What the whole answer would be if it were nothing but data.
    let capacity = Base64.decodedCount(atMost: body.readableBytes)
    decoded = .allocate(byteCount: capacity, alignment: 1)
    // A record has some two hundred bytes beside its data.
    entries.reserveCapacity(body.readableBytes / 400)
  }

  deinit { decoded.deallocate() }

  /// Reads the array of records that comes next.
  func scan(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) {
    try scanner.enterArray()
    while try scanner.nextElement() { append(try entry(&scanner)) }
  }

  /// One record, or those that are packed in it.
  private func append(_ entry: Entry) {
    let data = UnsafeRawBufferPointer(rebasing: decoded[entry.data])
    let aggregated = AggregatedRecord(in: data, hashRange: hashKeys?.own)
    firstNumber = firstNumber ?? entry.sequenceNumber
    last = (entry.sequenceNumber, UInt64(max(1, aggregated?.records.count ?? 1) - 1))
    guard let aggregated else { return entries.append(entry) }
    let fate = foreignFate(of: aggregated, in: entry, data)
    for record in aggregated.records where !(record.isForeign && fate == .leftOut) {
      var packed = entry
      packed.data = record.data.moved(by: entry.data.lowerBound)
      packed.packed = (record.subSequenceNumber, record.partitionKey.moved(by: entry.data.lowerBound))
      entries.append(packed)
    }
  }

  /// What becomes of its user records that belong to other shards; `nil` if it has none.
  private func foreignFate(
    of aggregated: AggregatedRecord,
    in entry: Entry,
    _ data: UnsafeRawBufferPointer
  ) -> ForeignRecords.Fate? {
    let count = aggregated.records.count { $0.isForeign }
    guard let hashKeys, count > 0 else { return nil }
    let isSentAgain = aggregated.isOfProducerLibrary(
      under: text(entry.partitionKey),
      in: data,
      packedFor: hashKeys.ancestors
    )
    let fate = isSentAgain ? ForeignRecords.Fate.leftOut : .delivered
    let number = number(entry.sequenceNumber)
    foreign[fate, default: ForeignRecords(sequenceNumber: number)].count += count
    return fate
  }

  private func entry(_ scanner: inout JSONScanner) throws(JSONScanner.Failure) -> Entry {
    var entry = Entry()
    var hasNumber = false
    var hasData = false
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      if scanner.matches(key, "Data") {
        entry.data = try decode(try scanner.string(), scanner)
        hasData = true
      } else if scanner.matches(key, "SequenceNumber") {
        entry.sequenceNumber = try scanner.sequenceNumber()
        hasNumber = true
      } else if scanner.matches(key, "PartitionKey") {
        entry.partitionKey = try scanner.string()
      } else if scanner.matches(key, "ApproximateArrivalTimestamp") {
        entry.creationTime = try scanner.timestamp()
      } else {
        try scanner.skip()
      }
    }
    guard hasNumber, hasData else { throw scanner.failure("A record has no number or no data.") }
    return entry
  }

  private func decode(_ text: JSONScanner.Text, _ scanner: JSONScanner) throws(JSONScanner.Failure) -> Range<
    Int
  > {
    let rest = UnsafeMutableRawBufferPointer(rebasing: decoded[decodedCount...])
    let count =
      if text.hasEscapes {
        // Nobody has to, but it is allowed to write a slash as \/.
        Array(scanner.text(of: text).utf8).withUnsafeBytes { Base64.decode($0, into: rest) }
      } else {
        Base64.decode(scanner.raw(text.range), into: rest)
      }
    guard let count else {
      throw JSONScanner.Failure(reason: "The data of a record is no Base64.", offset: text.range.lowerBound)
    }
    defer { decodedCount += count }
    return decodedCount..<decodedCount + count
  }

  private func text(_ text: JSONScanner.Text) -> String {
    body.withUnsafeReadableBytes { JSONScanner($0).text(of: text) }
  }

  private func number(_ range: Range<Int>) -> String {
    text(JSONScanner.Text(range: range, hasEscapes: false))
  }

  private func number(at index: Int) -> String { number(entries[index].sequenceNumber) }

  /// `nil` if the service sent none.
  var span: ReceivedSpan? {
    guard let firstNumber, let last else { return nil }
    return ReceivedSpan(
      first: SequenceNumber(number(firstNumber)) ?? 0,
      last: .record(SequenceNumber(number(last.number)) ?? 0, subSequenceNumber: last.subSequenceNumber)
    )
  }

  func sequenceNumber(at index: Int) -> SequenceNumber { SequenceNumber(number(at: index)) ?? 0 }

  func subSequenceNumber(at index: Int) -> UInt64 { entries[index].packed?.subSequenceNumber ?? 0 }

  func partitionKey(at index: Int) -> String {
    let entry = entries[index]
    return entry.packed.map { String(decoding: decoded[$0.partitionKey], as: UTF8.self) }
      ?? text(entry.partitionKey)
  }

  func approximateCreationTime(at index: Int) -> Timestamp { entries[index].creationTime }

  /// As in the events that Lambda is given, which knows no packed records.
  func eventID(at index: Int) -> String {
    let packed = entries[index].packed.map { ":\($0.subSequenceNumber)" } ?? ""
    return "\(shardID):\(number(at: index))\(packed)"
  }

  func sizeInBytes(at index: Int) -> Int { entries[index].data.count }

  func data(at index: Int) -> RecordBytes? {
    RecordBytes(UnsafeRawBufferPointer(rebasing: decoded[entries[index].data]), of: self)
  }

  func eventName(at index: Int) -> Change.EventName? { nil }
  func image(_ part: Change.Part, at index: Int) -> Image? { nil }
}

extension Range<Int> {
  fileprivate func moved(by offset: Int) -> Range<Int> { lowerBound + offset..<upperBound + offset }
}
#endif
