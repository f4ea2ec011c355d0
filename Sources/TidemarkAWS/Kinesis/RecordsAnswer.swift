#if AWS
import AWSRequests
import Foundation
import NIOCore
import Tidemark

/// What `GetRecords` answered, or an event of `SubscribeToShard`: gone through once, with its records where they came.
struct RecordsAnswer: Sendable {
  var records: KinesisRecords
  /// Of `GetRecords`; `nil` at the shard's end.
  var nextIterator: String?
  /// Of `SubscribeToShard`: after what to go on, also where nothing is written; `nil` at the shard's end.
  var continuation: SequenceNumber?
  var millisBehindLatest: Int64 = 0
  var children: [ChildShard] = []

  /// - Parameter hashKeys: the shard's, if they are known.
  /// - Throws: `TidemarkError` (`sourceUnavailable`) if it is malformed.
  init(_ response: AWSResponse, shardID: String, hashKeys: ShardHashKeys? = nil) throws {
    records = KinesisRecords(response.body, shardID: shardID, hashKeys: hashKeys)
    do {
      try response.body.withUnsafeReadableBytes { bytes in
        var scanner = JSONScanner(bytes)
        try scan(&scanner)
      }
    } catch let failure as JSONScanner.Failure {
      throw response.malformed("\(failure)")
    } catch let error as DecodingError {
      throw response.malformed("\(error)")
    }
  }

  private mutating func scan(_ scanner: inout JSONScanner) throws {
    var hasRecords = false
    try scanner.enterObject()
    while let key = try scanner.nextKey() {
      hasRecords = hasRecords || scanner.matches(key, "Records")
      if try scanner.takeNull() { continue }
      if scanner.matches(key, "Records") {
        try records.scan(&scanner)
      } else if scanner.matches(key, "NextShardIterator") {
        nextIterator = scanner.text(of: try scanner.string())
      } else if scanner.matches(key, "ContinuationSequenceNumber") {
        continuation = SequenceNumber(scanner.text(in: try scanner.sequenceNumber()))
      } else if scanner.matches(key, "MillisBehindLatest") {
        millisBehindLatest = try scanner.integer()
      } else if scanner.matches(key, "ChildShards") {
        let range = try scanner.skip()
        children = try JSONDecoder().decode([ChildShard].self, from: Data(scanner.raw(range)))
      } else {
        try scanner.skip()
      }
    }
    // Without an iterator it would pass for the end of the shard.
    if !hasRecords { throw scanner.failure("Records are missing.") }
  }
}
#endif
