import Synchronization
import Tidemark
import TidemarkPostgres
import Waiting

/// What this process knows about the newest records of a stream, so that readers wait in memory and ask the
/// database only when their shard has something new.
final class StreamHeads: Sendable {
  /// What was known of a shard at some moment. When it differs later, there is, or may be, something new.
  struct Mark: Equatable, Sendable {
    fileprivate var shardHead: Int64?
    fileprivate var generation: UInt64

    /// Whether a record is the last that is known.
    func isHead(_ record: Int64) -> Bool { shardHead == record }
  }

  /// A reader that waits for news of its shard.
  struct Waiter: Sendable {
    var shard: Int32
    /// What it would read; `nil` if it wants to read by itself.
    var wish: PageWish?
    fileprivate let news = OneShot<FreshRecords?>()

    /// - Parameter records: what its wish was for, if somebody has read that.
    func resume(with records: FreshRecords? = nil) { news.fire(records) }
  }

  private struct State {
    var streamHead: Int64?
    var shardHeads: [Int32: Int64] = [:]
    /// Changes whenever any shard may have news: too much was missed to say which.
    var generation: UInt64 = 0
    var pumps = 0
    var stepSize = StepSize()
    var waitForTurn = LongWait()
    var lastWaiter: UInt64 = 0
    var waiters: [UInt64: Waiter] = [:]

    func mark(of shard: Int32) -> Mark {
      Mark(shardHead: shardHeads[shard], generation: generation)
    }

    /// Says that any shard may have news; whoever waits is to be resumed.
    mutating func takeAll() -> [Waiter] {
      generation += 1
      defer { waiters = [:] }
      return Array(waiters.values)
    }
  }

  private let state = Mutex(State())

  /// The last sequence number of the stream up to which everything is known here.
  var streamHead: Int64? { state.withLock { $0.streamHead } }

  var stepSize: StepSize { state.withLock { $0.stepSize } }

  func shrinkSteps() { state.withLock { $0.stepSize.shrink() } }

  /// To be taken before the database is asked, and compared after.
  func mark(of shard: Int32) -> Mark { state.withLock { $0.mark(of: shard) } }

  /// Whether somebody in this process keeps this up to date.
  var isPumped: Bool { state.withLock { $0.pumps > 0 } }

  func pumpStarted() { state.withLock { $0.pumps += 1 } }

  /// Wakes all who wait: from now on each has to look for itself.
  func pumpEnded() {
    let woken = state.withLock { state in
      state.pumps -= 1
      return state.takeAll()
    }
    for waiter in woken { waiter.resume() }
  }

  /// Whether others have had the turn for so long, without a step, that it is to be reported. Before the answer is
  /// applied.
  func isKeptWaiting(_ answer: StreamAdvance, at now: ContinuousClock.Instant) -> Bool {
    state.withLock { state in
      let waits = answer.isBusy && answer.head == state.streamHead ?? answer.head
      return state.waitForTurn.isDue(waits: waits, at: now)
    }
  }

  /// Takes over an answer and wakes whom it concerns.
  func apply(_ answer: StreamAdvance) {
    for waiter in take(answer) { waiter.resume() }
  }

  /// Takes over an answer.
  /// - Returns: whom it concerns; they are to be resumed.
  func take(_ answer: StreamAdvance) -> [Waiter] {
    state.withLock { state in
      state.streamHead = max(state.streamHead ?? answer.head, answer.head)
      if answer.moved > 0 { state.stepSize.grow() }
      guard let news = answer.shardHeads else { return state.takeAll() }
      if news.isEmpty { return [] }
      state.shardHeads.merge(news) { max($0, $1) }
      let concerned = state.waiters.filter { news[$0.value.shard] != nil }
      for id in concerned.keys { state.waiters[id] = nil }
      return Array(concerned.values)
    }
  }

  /// Returns once the shard's mark is another one, or when the task is cancelled.
  /// - Returns: what `wish` is for, if it was read along with others' wishes.
  @discardableResult
  func news(of shard: Int32, since mark: Mark, wish: PageWish? = nil) async -> FreshRecords? {
    let waiter = Waiter(shard: shard, wish: wish)
    let id = state.withLock { state -> UInt64? in
      if state.mark(of: shard) != mark { return nil }
      state.lastWaiter += 1
      state.waiters[state.lastWaiter] = waiter
      return state.lastWaiter
    }
    guard let id else { return nil }
    if let news = await waiter.news.wait() { return news }
    state.withLock { _ = $0.waiters.removeValue(forKey: id) }
    return nil
  }
}
