import LibPQ

/// The place of one capture session, and what has to happen before the server may forget what stands before a later one.
///
/// The server begins a later session at what was confirmed, and that session leaves out as many changes of the first
/// transaction as the stored place says. So nothing after the stored place's transaction is confirmed while that place
/// still counts changes: those would be left out of another transaction.
struct CapturePlace {
  enum Step: Equatable {
    /// Store the records that came, if any, and the place where they end, on the condition that the log is at `from`.
    case store(from: CapturePosition)
    /// Nothing of the table has come, and the stored place is as good as this one.
    case confirm
  }

  /// What the log says.
  private(set) var stored: CapturePosition

  init(stored: CapturePosition) {
    self.stored = stored
  }

  /// What has to be done with `count` records that end at `position`, before that is confirmed.
  func step(to position: CapturePosition, count: Int) -> Step {
    if count > 0 || isStale(at: position) { return .store(from: stored) }
    return .confirm
  }

  /// Whether the stored place counts changes of a transaction that is over.
  private func isStale(at position: CapturePosition) -> Bool {
    stored.changes > 0 && position.lsn > stored.lsn
  }

  mutating func didStore(_ position: CapturePosition) { stored = position }
}
