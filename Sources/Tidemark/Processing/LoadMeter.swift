import Synchronization

/// Measures what a shard costs, from one heartbeat to the next.
final class LoadMeter: Sendable {
  private struct Sums {
    var since: ContinuousClock.Instant
    var busy: Duration = .zero
    var bytes = 0
    var millisBehindLatest: Int64 = 0
    /// Whether the last measurement was of an idle shard, so that the same need not be told again.
    var isKnownIdle = false
  }

  private let sums: Mutex<Sums>

  init(now: ContinuousClock.Instant) {
    sums = Mutex(Sums(since: now))
  }

  func add(busy: Duration, bytes: Int, millisBehindLatest: Int64) {
    sums.withLock {
      $0.busy += busy
      $0.bytes += bytes
      $0.millisBehindLatest = millisBehindLatest
    }
  }

  /// What was measured since the last call; `nil` if no time has passed or the shard was idle before as well.
  func take(now: ContinuousClock.Instant) -> Heartbeat.Measurement? {
    sums.withLock { sums in
      let seconds = sums.since.duration(to: now) / .seconds(1)
      let isIdle = sums.bytes == 0 && sums.busy == .zero
      guard seconds > 0, !(isIdle && sums.isKnownIdle) else { return nil }
      if isIdle { sums.millisBehindLatest = 0 }
      defer {
        sums = Sums(since: now, millisBehindLatest: sums.millisBehindLatest, isKnownIdle: isIdle)
      }
      return Heartbeat.Measurement(
        load: Lease.Load(
          processing: sums.busy / .seconds(1) / seconds,
          bytesPerSecond: Double(sums.bytes) / seconds
        ),
        millisBehindLatest: sums.millisBehindLatest
      )
    }
  }
}
