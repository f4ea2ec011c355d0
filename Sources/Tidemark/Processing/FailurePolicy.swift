/// What happens when a processor throws. One shard's failure never stops another shard.
public struct FailurePolicy: Sendable, Hashable {
  /// What happens to records that have exhausted their attempts. Nothing is ever skipped silently.
  public enum Exhausted: Sendable, Hashable {
    /// The shard is read no more, by any worker, until an operator resets its lease.
    case stop
    /// The records go to the dead-letter queue, in the same transaction as the checkpoint that passes them.
    case deadLetter
  }

  /// How often a batch is given to the processor before it is exhausted; `nil` for without limit, the default.
  /// At least 1. Attempts count from 1 again when the first unhandled record is another one.
  public var maximumAttempts: Int?
  /// Records older than this are exhausted at their next failure; `nil`, the default, for without limit.
  public var maximumRecordAge: Duration?
  /// Whether a batch that failed is halved, again and again, until the failing record stands alone. Halving
  /// does not count as an attempt, so a record may be tried in ⌈log₂ batch size⌉ larger batches besides.
  /// Default `false`. Not needed with ``RecordFailure`` or ``CheckpointingProcessor``, which name the record.
  public var bisectsBatch: Bool
  /// Default ``Exhausted/deadLetter``.
  public var whenExhausted: Exhausted
  /// The pause before each new attempt.
  public var backoff: Backoff

  public init(
    maximumAttempts: Int? = nil,
    maximumRecordAge: Duration? = nil,
    bisectsBatch: Bool = false,
    whenExhausted: Exhausted = .deadLetter,
    backoff: Backoff = Backoff()
  ) {
    self.maximumAttempts = maximumAttempts
    self.maximumRecordAge = maximumRecordAge
    self.bisectsBatch = bisectsBatch
    self.whenExhausted = whenExhausted
    self.backoff = backoff
  }

  func violations() -> [String] {
    var found = backoff.violations(of: "failurePolicy.backoff")
    if let maximumAttempts, maximumAttempts < 1 {
      found.append("failurePolicy.maximumAttempts is \(maximumAttempts), must be at least 1")
    }
    if let maximumRecordAge, maximumRecordAge <= .zero {
      found.append("failurePolicy.maximumRecordAge is \(maximumRecordAge), must be more than 0")
    }
    return found
  }
}
