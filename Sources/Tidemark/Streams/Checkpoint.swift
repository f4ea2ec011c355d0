/// How far a shard has been read: a sentinel, or the last record that is handled.
///
/// The order: `LATEST` < `AT_TIMESTAMP` < `TRIM_HORIZON` < numbers < `SHARD_END`. A checkpoint names what is *done*;
/// reading resumes after it.
///
/// This is the KCL's (`ExtendedSequenceNumber`), but for `LATEST`, which there comes right before the numbers. `LATEST` is
/// no place yet: asked for again it is a later one. So a lease that starts with it advances to the place that it meant,
/// and that is a time where the stream has no number for it.
public enum Checkpoint: Sendable, Hashable {
  /// Nothing is handled; start with the first record that is not older than this.
  case atTimestamp(Timestamp)
  /// Nothing is handled; start with the oldest record that there is.
  case trimHorizon
  /// Nothing is handled; start with what arrives from now on.
  case latest
  /// Everything up to and including this record is handled. The sub-sequence number tells apart the records
  /// that a producer packed under one sequence number; it is 0 where nothing is packed.
  case record(SequenceNumber, subSequenceNumber: UInt64)
  /// Every record of the shard is handled, and there will be no more.
  case shardEnd

  public static func record(_ sequenceNumber: SequenceNumber) -> Checkpoint {
    .record(sequenceNumber, subSequenceNumber: 0)
  }

  public var sequenceNumber: SequenceNumber? {
    if case .record(let number, _) = self { number } else { nil }
  }

  public var subSequenceNumber: UInt64 {
    if case .record(_, let sub) = self { sub } else { 0 }
  }
}

extension Checkpoint: Comparable {
  private var rank: Int {
    switch self {
    case .latest: -3
    case .atTimestamp: -2
    case .trimHorizon: -1
    case .record: 0
    case .shardEnd: 1
    }
  }

  public static func < (left: Self, right: Self) -> Bool {
    guard case .record(let a, let subA) = left, case .record(let b, let subB) = right else {
      // Two timestamps rank alike: neither says that anything was handled.
      return left.rank < right.rank
    }
    return a == b ? subA < subB : a < b
  }
}

extension Checkpoint: CustomStringConvertible {
  /// The text in lease tables: the digits, a sentinel's name, or `AT_TIMESTAMP:` and microseconds
  /// since 1970. The sub-sequence number is kept beside it.
  public var text: String {
    switch self {
    case .atTimestamp(let time): "AT_TIMESTAMP:\(time.microsecondsSinceEpoch)"
    case .trimHorizon: "TRIM_HORIZON"
    case .latest: "LATEST"
    case .record(let number, _): number.description
    case .shardEnd: "SHARD_END"
    }
  }

  public var description: String {
    subSequenceNumber == 0 ? text : "\(text)/\(subSequenceNumber)"
  }

  /// Reads what ``text`` writes; `nil` for anything else.
  public init?(text: String, subSequenceNumber: UInt64 = 0) {
    switch text {
    case "TRIM_HORIZON": self = .trimHorizon
    case "LATEST": self = .latest
    case "SHARD_END": self = .shardEnd
    default:
      if let number = SequenceNumber(text) {
        self = .record(number, subSequenceNumber: subSequenceNumber)
      } else if text.hasPrefix("AT_TIMESTAMP:"), let time = Int64(text.dropFirst("AT_TIMESTAMP:".count)) {
        self = .atTimestamp(Timestamp(microsecondsSinceEpoch: time))
      } else {
        return nil
      }
    }
  }
}
