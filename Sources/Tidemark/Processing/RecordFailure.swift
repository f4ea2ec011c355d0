/// Thrown by a processor to say which record of a batch failed: all before it are handled.
///
/// With it a retry starts at that record and only that record is counted, and in the end dead-lettered.
public struct RecordFailure: Error, CustomStringConvertible {
  public var record: Record
  public var underlying: any Error

  public init(_ record: Record, underlying: any Error) {
    self.record = record
    self.underlying = underlying
  }

  public var description: String { "record \(record.checkpoint): \(underlying)" }
}
