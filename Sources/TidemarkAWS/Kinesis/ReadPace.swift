#if AWS
/// When a shard may be read next: as soon as the quota allows while there is more, else after the poll interval.
struct ReadPace: Sendable {
  /// As many reads as a shard answers in a second.
  private static let quota = 5

  let pollInterval: Duration
  /// The last reads, the oldest first.
  private var reads: [ContinuousClock.Instant] = []
  private var isCaughtUp = false

  init(pollInterval: Duration) {
    self.pollInterval = pollInterval
  }

  /// How long the next read has to wait.
  func wait(at now: ContinuousClock.Instant) -> Duration {
    guard let last = reads.last else { return .zero }
    var earliest = isCaughtUp ? last.advanced(by: pollInterval) : now
    if reads.count == Self.quota { earliest = max(earliest, reads[0].advanced(by: .seconds(1))) }
    return max(.zero, now.duration(to: earliest))
  }

  mutating func noteRead(at now: ContinuousClock.Instant) {
    reads.append(now)
    if reads.count > Self.quota { reads.removeFirst() }
    // Until the answer is there: one that failed is no reason to wait.
    isCaughtUp = false
  }

  mutating func noteAnswer(isCaughtUp: Bool) { self.isCaughtUp = isCaughtUp }
}
#endif
