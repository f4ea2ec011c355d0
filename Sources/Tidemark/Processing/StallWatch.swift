/// Notices that a call to the processor makes no progress.
///
/// Calls may be many and short, so there is no timer for each: as long as there are calls, one ticks four times in
/// the timeout, and so many ticks in a row in which the same call neither returned nor checkpointed are a stall. It
/// is noticed after the timeout at the earliest and a quarter later at the latest.
struct StallWatch {
  private static let ticks = 4

  private let tick: Duration?
  private var isTicking = false
  private var quietTicks = 0

  /// - Parameter timeout: `nil` to watch nothing.
  init(timeout: Duration?) {
    tick = timeout.map { $0 / Self.ticks }
  }

  /// - Returns: after how long to call ``ticked(isCalling:hasProgressed:)``; `nil` if that is coming anyway.
  mutating func callBegan() -> Duration? {
    guard let tick else { return nil }
    // The rest of a tick that has begun is not a whole one.
    quietTicks = isTicking ? -1 : 0
    if isTicking { return nil }
    isTicking = true
    return tick
  }

  enum Finding: Equatable {
    case nothing
    case again(after: Duration)
    case stalled
  }

  mutating func ticked(isCalling: Bool, hasProgressed: Bool) -> Finding {
    isTicking = false
    guard isCalling, let tick else { return .nothing }
    quietTicks = hasProgressed ? 0 : quietTicks + 1
    // A call is reported once; the next one starts the ticking again.
    if quietTicks >= Self.ticks { return .stalled }
    isTicking = true
    return .again(after: tick)
  }
}
