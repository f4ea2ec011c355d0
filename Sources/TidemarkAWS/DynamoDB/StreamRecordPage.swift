#if AWS
import NIOCore
import Tidemark

/// An answer to `GetRecords`: scanned for where things lie, with nothing of a record built.
struct StreamRecordPage: Sendable {
  let records: [Record]
  /// Absent at the end of a shard. Records may come with that.
  let nextIterator: String?
  let sizeInBytes: Int

  init(_ body: ByteBuffer) throws(JSONScanner.Failure) {
    let bytes = AnswerBytes(body)
    var scanner = JSONScanner(bytes.buffer)
    var envelopes: [RecordEnvelope] = []
    var next: String?
    var hasRecords = false
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      let isRecords = scanner.matches(key, "Records")
      hasRecords = hasRecords || isRecords
      if try scanner.takeNull() { continue }
      if isRecords {
        try scanner.enterArray()
        while try scanner.nextElement() { envelopes.append(try RecordEnvelope(&scanner)) }
      } else if scanner.matches(key, "NextShardIterator") {
        next = scanner.text(of: try scanner.string())
      } else {
        try scanner.skip()
      }
    }
    // Without an iterator it would pass for the end of the shard.
    if !hasRecords { throw scanner.failure("Records are missing.") }
    let storage = StreamRecords(bytes, envelopes)
    records = envelopes.indices.map { Record(in: storage, at: $0) }
    nextIterator = next?.isEmpty == true ? nil : next
    sizeInBytes = envelopes.reduce(0) { $0 + $1.sizeInBytes }
  }

  func records(notBefore oldest: Timestamp?) -> [Record] {
    guard let oldest else { return records }
    return records.filter { $0.approximateCreationTime >= oldest }
  }
}
#endif
