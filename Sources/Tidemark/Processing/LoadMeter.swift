import Synchronization

/// Measures what a shard costs, from one heartbeat to the next, averaged over the last minutes: a burst is no
/// reason to move a lease to and fro.
final class LoadMeter: Sendable {
  private struct Average {
    /// After this many seconds an old load counts for a third.
    private static let memory = 300.0

    private(set) var load = Lease.Load(processing: 0, bytesPerSecond: 0)
    /// How much time it stands for.
    private var seconds = 0.0

    init(_ load: Lease.Load?) {
      guard let load else { return }
      self.load = load
      seconds = Self.memory
    }

    mutating func include(_ latest: Lease.Load, over time: Double) {
      let share = time / (seconds + time)
      load.processing += share * (latest.processing - load.processing)
      load.bytesPerSecond += share * (latest.bytesPerSecond - load.bytesPerSecond)
      seconds = min(seconds + time, Self.memory)
    }

    /// Takes what is next to nothing for nothing.
    mutating func endIfNegligible() -> Bool {
      guard load.processing < 0.001, load.bytesPerSecond < 1000 else { return false }
      load = Lease.Load(processing: 0, bytesPerSecond: 0)
      return true
    }
  }

  private struct State {
    var average: Average
    var since: ContinuousClock.Instant
    var busy: Duration = .zero
    var bytes = 0
    var millisBehindLatest: Int64 = 0
    /// Whether the last measurement was of an idle shard, so that the same need not be reported again.
    var isKnownIdle = false
  }

  private let state: Mutex<State>

  /// - Parameter load: what the last owner measured.
  init(now: ContinuousClock.Instant, continuing load: Lease.Load? = nil) {
    state = Mutex(State(average: Average(load), since: now))
  }

  func add(busy: Duration) {
    state.withLock { $0.busy += busy }
  }

  func add(busy: Duration, bytes: Int, millisBehindLatest: Int64) {
    add(busy: busy)
    state.withLock {
      $0.bytes += bytes
      $0.millisBehindLatest = millisBehindLatest
    }
  }

  /// What was measured up to now; `nil` if no time has passed or the shard was idle before as well.
  func take(now: ContinuousClock.Instant) -> Heartbeat.Measurement? {
    state.withLock { state in
      let seconds = state.since.duration(to: now) / .seconds(1)
      guard seconds > 0 else { return nil }
      let isIdle = state.bytes == 0 && state.busy == .zero
      defer { (state.since, state.busy, state.bytes) = (now, .zero, 0) }
      if isIdle, state.isKnownIdle { return nil }
      state.average.include(
        Lease.Load(
          processing: state.busy / .seconds(1) / seconds,
          bytesPerSecond: Double(state.bytes) / seconds
        ),
        over: seconds
      )
      state.isKnownIdle = isIdle && state.average.endIfNegligible()
      if isIdle { state.millisBehindLatest = 0 }
      return Heartbeat.Measurement(load: state.average.load, millisBehindLatest: state.millisBehindLatest)
    }
  }
}
