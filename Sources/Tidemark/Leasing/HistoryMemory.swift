/// What a worker remembers of the histories that it has heard of, to notice when the store has lost something of them.
struct HistoryMemory {
  private var history: LeaseHistory?
  /// The latest assignment version that it has heard of on this history.
  private var version: Int64 = 0
  /// The histories whose loss was reported, at their end or at the beginning of the next.
  private var reportedEnd: Int64?
  private var reportedBeginning: Int64?

  /// Notes what an answer tells; answers may overtake each other.
  ///
  /// - Returns: whether that says for the first time that something is lost.
  mutating func hasLost(seeing version: Int64, on history: LeaseHistory) -> Bool {
    guard let last = self.history, last.number >= history.number else {
      let hasLost = self.history != nil && self.version > history.beganAt
      let isNews = hasLost && reportedEnd != self.history?.number
      if hasLost { reportedBeginning = history.number }
      self.history = history
      self.version = version
      return isNews
    }
    if last.number == history.number { self.version = max(self.version, version) }
    return false
  }

  /// Notes that the epoch of a lease has fallen.
  ///
  /// - Returns: whether that says for the first time that something is lost.
  mutating func hasLostLeases() -> Bool {
    let number = history?.number ?? 0
    guard reportedBeginning != number, reportedEnd != number else { return false }
    reportedEnd = number
    return true
  }
}
