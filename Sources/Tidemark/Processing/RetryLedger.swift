/// How often the first record that is not handled was tried, and how large a batch may be while a failing one is isolated.
struct RetryLedger {
  private let policy: FailurePolicy
  private var head: Checkpoint?
  private(set) var attempts = 0
  /// How many records a batch may have; `nil` for any number.
  private(set) var batchLimit: Int?

  init(policy: FailurePolicy) {
    self.policy = policy
  }

  /// How often a batch that begins with this record was tried.
  func attempts(at checkpoint: Checkpoint) -> Int { checkpoint == head ? attempts : 0 }

  /// A batch was handled, so the next may be larger.
  /// - Parameter left: how many records there are for it.
  mutating func succeeded(left: Int) {
    if let limit = batchLimit { batchLimit = limit * 2 < left ? limit * 2 : nil }
  }

  /// The records that failed are given up.
  mutating func gaveUp() { batchLimit = nil }

  /// Records have failed that begin with `head`: `count` of them, which may be each of a batch, or the one that was named.
  ///
  /// - Parameter age: how old `head` is, as far as its source tells.
  /// - Returns: whether they have exhausted their attempts.
  mutating func failed(at head: Checkpoint, count: Int, isNamed: Bool, age: Duration?) -> Bool {
    if self.head != head { (self.head, attempts) = (head, 0) }
    if policy.bisectsBatch, !isNamed, count > 1 {
      batchLimit = count / 2
      return false
    }
    attempts += 1
    if let maximum = policy.maximumAttempts, attempts >= maximum { return true }
    if let maximum = policy.maximumRecordAge, let age { return age > maximum }
    return false
  }
}
