/// The clock that a worker measures and waits with. It must be monotonic and count suspended time, because a
/// worker trusts its leases for a span of it.
///
/// `ContinuousClock` is the one for production; a simulation brings its own whose instants it moves by hand.
public protocol MonotonicClock: Clock where Instant == ContinuousClock.Instant, Duration == Swift.Duration {}

extension ContinuousClock: MonotonicClock {}
