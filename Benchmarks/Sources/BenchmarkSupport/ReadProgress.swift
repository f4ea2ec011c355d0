import Synchronization

/// How far a worker has read: from its first batch, which only starts the clock, to its last.
package final class ReadProgress: Sendable {
  private struct State {
    var count = 0
    var beforeStart = 0
    var begin: ContinuousClock.Instant?
    var duration = Duration.zero
  }

  package let started = Gate()
  package let finished = Gate()
  private let goal: Int
  private let state = Mutex(State())

  package init(goal: Int) { self.goal = goal }

  package var beforeStart: Int { state.withLock(\.beforeStart) }
  package var duration: Duration { state.withLock(\.duration) }

  package func add(_ records: Int) {
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
package struct Gate: Sendable {
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation

  package init() { (stream, continuation) = AsyncStream.makeStream() }

  package func open() { continuation.finish() }
  package func wait() async { for await _ in stream {} }
}
