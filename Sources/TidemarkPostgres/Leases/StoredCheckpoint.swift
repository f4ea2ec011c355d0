import Tidemark

/// A checkpoint as the lease table keeps it: its text, and the sub-sequence number beside it.
struct StoredCheckpoint {
  var text: String
  var subSequenceNumber: Int64

  /// - Throws: `unsupported` for a sub-sequence number that does not fit into the column.
  init(_ checkpoint: Checkpoint) throws {
    guard let subSequenceNumber = Int64(exactly: checkpoint.subSequenceNumber) else {
      throw TidemarkError(
        .unsupported,
        "The sub-sequence number \(checkpoint.subSequenceNumber) is greater than the lease table can store.",
        advice: "Use sub-sequence numbers below 2^63."
      )
    }
    text = checkpoint.text
    self.subSequenceNumber = subSequenceNumber
  }
}

extension Checkpoint {
  /// - Throws: `unsupported` if the lease table holds something that no version of Tidemark writes.
  init(stored text: String, _ subSequenceNumber: Int64, of shardID: String) throws {
    guard let number = UInt64(exactly: subSequenceNumber),
      let checkpoint = Checkpoint(text: text, subSequenceNumber: number)
    else {
      throw TidemarkError(
        .unsupported,
        "The lease of shard \(shardID) has the checkpoint \(text)/\(subSequenceNumber), which is none.",
        advice: "Reset the lease."
      )
    }
    self = checkpoint
  }
}
