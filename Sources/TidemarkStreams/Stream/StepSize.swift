/// How much one sequencing step moves at most, at least one row.
///
/// A step that the server cancels has moved nothing, and would be cancelled again for ever: where no setting of the session
/// lifts a `statement_timeout` (behind a pooler, say), steps become so small that they get through.
struct StepSize: Sendable, Equatable {
  static let maximumRows = 2000

  private(set) var rows = maximumRows
  /// About.
  private(set) var bytes: Int64

  init(bytes: Int64 = 8 << 20) {
    self.bytes = bytes
  }

  /// After a step that was cancelled.
  mutating func shrink() {
    rows = max(1, rows / 4)
    bytes = max(1, bytes / 4)
  }

  /// After a step that has moved as much as it may.
  mutating func grow() {
    let whole = StepSize()
    rows = min(whole.rows, rows + max(1, rows / 8))
    bytes = min(whole.bytes, bytes + max(1, bytes / 8))
  }
}
