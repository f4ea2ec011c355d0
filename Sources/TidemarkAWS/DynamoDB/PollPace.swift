#if AWS
import Tidemark

/// How long a reader pauses before its next read.
///
/// Not at all while it catches up; for a short while after records that were new; and longer with each page in a row that
/// had none, up to the interval.
struct PollPace: Sendable {
  /// From this age of its last record on, a page has more after it.
  private static let behind = Duration.seconds(10)

  private let interval: Duration
  private(set) var pause = Duration.zero
  private var emptyPages = 0

  init(_ interval: Duration) { self.interval = interval }

  private var shortest: Duration { interval / 4 }

  /// - Parameters:
  ///   - isFull: the page reached a limit.
  ///   - age: of its last record when it was read; `nil` for an empty page.
  /// - Returns: whether more records are waiting, as far as one can tell.
  mutating func note(isFull: Bool, age: Duration?) -> Bool {
    guard let age else {
      pause = min(interval, shortest * (1 << min(emptyPages, 2)))
      emptyPages += 1
      return false
    }
    emptyPages = 0
    let isBehind = isFull || age > Self.behind
    pause = isBehind ? .zero : shortest
    return isBehind
  }
}
#endif
