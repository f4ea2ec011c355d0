import Synchronization

/// How far a worker has read: from its first batch, which only starts the clock, to its last.
final class ReadProgress: Sendable {
  private struct State {
    var count = 0
    var beforeStart = 0
    var begin: ContinuousClock.Instant?
    var duration = Duration.zero
  }

  let started = Gate()
  let finished = Gate()
  private let goal: Int
  private let state = Mutex(State())

  init(goal: Int) { self.goal = goal }

  var beforeStart: Int { state.withLock(\.beforeStart) }
  var duration: Duration { state.withLock(\.duration) }

  func add(_ records: Int) {
    let now = ContinuousClock.now
    let (isFirst, isLast) = state.withLock { state in
      state.count += records
      let isFirst = state.begin == nil
      if isFirst { state.beforeStart = records }
      let begin = state.begin ?? now
      state.begin = begin
      state.duration = begin.duration(to: now)
      return (isFirst, state.count >= goal)
    }
    if isFirst { started.open() }
    if isLast { finished.open() }
  }
}

/// Closed until it is opened, once and for all.
struct Gate: Sendable {
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation

  init() { (stream, continuation) = AsyncStream.makeStream() }

  func open() { continuation.finish() }
  func wait() async { for await _ in stream {} }
}
