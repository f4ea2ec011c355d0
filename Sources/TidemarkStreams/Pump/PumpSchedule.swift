import Tidemark
import Waiting

/// Decides which streams of a process to look at, and when, from the bells and from what the looks have found.
///
/// A look at a stream is due when its bell was rung; again, while somebody else had its turn or a transaction may be open that
/// has written to it; and now and then in any case. After a look that has moved something the next one waits for a while, so
/// that many changes are moved by one step where many come.
struct PumpSchedule: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// What to do next.
  enum Next: Equatable {
    /// Look at these streams, in this order.
    case look([Int32])
    /// Wait for nothing but the time.
    case sleep(until: Instant)
    /// Wait for a bell, until then.
    case watch(until: Instant)
  }

  /// What the last look at a stream has seen of its inbox.
  struct Place: Sendable, Equatable {
    /// The last number that the inbox had given out.
    var lastID: Int64?
    /// The transaction before which one that has taken such a number may still be open; `nil`: none is.
    var openXID: String?
  }

  /// What a look has found in a stream.
  struct Finding: Sendable, Equatable {
    var isBusy = false
    var hasNews = false
    /// As much was moved as one step may, so more is likely to be left.
    var isCutShort = false
    var place = Place()
  }

  private struct Entry {
    var place = Place()
    var isRung = true
    /// When to look again without a bell.
    var again: Instant?
    var busy = DoublingDelay(from: .milliseconds(1), to: .milliseconds(50))
    var failed = DoublingDelay(from: .milliseconds(100), to: .seconds(2))
    var open: DoublingDelay
  }

  /// How long to gather changes at most.
  private var batchingInterval = Duration.milliseconds(10)
  /// How long an open transaction's stream rests between two looks at most.
  private var pollInterval = Duration.milliseconds(50)
  /// How many streams a look takes at most: each takes some of the locks that the server has for all.
  private static let maximumStreams = 100
  /// How long a look should take at most, because what it moves is seen at its end. First steps take long: they make tables.
  private static let maximumDuration = Duration.milliseconds(20)
  private var streamsAtOnce = Self.maximumStreams
  private(set) var bells: [Int64] = []
  private var entries: [Int32: Entry] = [:]
  private var pacedUntil: Instant?
  private var sweep: Instant?
  /// Where the next look begins, so that no stream is always the last.
  private var turn: Int32 = 0

  func place(of stream: Int32) -> Place { entries[stream]?.place ?? Place() }

  mutating func add(_ stream: Int32) {
    if entries[stream] == nil { entries[stream] = unknown() }
    entries[stream]?.isRung = true
  }

  private func unknown() -> Entry {
    Entry(open: DoublingDelay(from: batchingInterval, to: pollInterval))
  }

  mutating func remove(_ stream: Int32) { entries[stream] = nil }

  /// Begins on a new connection: another process may have had the streams meanwhile, so nothing is known.
  mutating func begin(batchingInterval: Duration, pollInterval: Duration) {
    (self.batchingInterval, self.pollInterval) = (batchingInterval, pollInterval)
    bells = []
    pacedUntil = nil
    for stream in entries.keys { entries[stream] = unknown() }
  }

  /// - Parameter bells: how often each was rung; `bell = stream % bells.count`.
  mutating func heard(_ bells: [Int64]) {
    defer { self.bells = bells }
    guard bells.count == self.bells.count else {
      for stream in entries.keys { entries[stream]?.isRung = true }
      return
    }
    if bells == self.bells { return }
    for stream in entries.keys {
      let bell = Int(stream) % bells.count
      if bells[bell] != self.bells[bell] { entries[stream]?.isRung = true }
    }
  }

  mutating func next(at now: Instant) -> Next {
    if let pacedUntil, now < pacedUntil { return .sleep(until: pacedUntil) }
    let sweep = self.sweep ?? now + sweepInterval
    self.sweep = sweep
    var due: [Int32] = []
    var again = sweep
    for (stream, entry) in entries {
      if entry.isRung || sweep <= now || entry.again.map({ $0 <= now }) ?? false {
        due.append(stream)
      } else if let time = entry.again {
        again = min(again, time)
      }
    }
    if due.isEmpty { return .watch(until: again) }
    if sweep <= now {
      self.sweep = now + sweepInterval
      for stream in due { entries[stream]?.isRung = true }
    }
    due.sort()
    let start = due.firstIndex { $0 > turn } ?? 0
    turn = due[start]
    return .look(Array((due[start...] + due[..<start]).prefix(streamsAtOnce)))
  }

  /// Bells tell everything; this is for what nobody has thought of, and costs next to nothing.
  private var sweepInterval: Duration { max(.seconds(1), .milliseconds(10) * entries.count) }

  /// - Parameters:
  ///   - streams: those that this look was at.
  ///   - findings: what was found; a stream without one is as it was.
  ///   - start: when the look began.
  mutating func looked(
    at streams: [Int32],
    finding findings: [Int32: Finding],
    from start: Instant,
    to now: Instant
  ) {
    streamsAtOnce =
      start.duration(to: now) > Self.maximumDuration
      ? max(1, min(streamsAtOnce, streams.count) / 2) : min(streamsAtOnce * 2, Self.maximumStreams)
    var hasNews = false
    // Where many streams wait for a long transaction, looks at each are less frequent.
    let crowd = Duration.microseconds(500) * entries.values.count { $0.place.openXID != nil }
    for stream in streams {
      guard var entry = entries[stream] else { continue }
      entry.isRung = false
      entry.again = nil
      entry.failed.reset()
      if let finding = findings[stream] {
        hasNews = hasNews || finding.hasNews
        entry.place = finding.place
        if finding.hasNews {
          entry.busy.reset()
          entry.open.reset()
        }
        if finding.isCutShort {
          entry.isRung = true
        } else if finding.isBusy {
          entry.again = now + (finding.hasNews ? batchingInterval : entry.busy.next())
        }
      }
      if entry.again == nil, entry.place.openXID != nil {
        entry.again = max(start + entry.open.next(), now + crowd)
      }
      entries[stream] = entry
    }
    let isMoreRung = entries.values.contains(where: \.isRung)
    pacedUntil = hasNews && !isMoreRung ? start + batchingInterval : nil
  }

  /// A look at this stream alone has failed.
  /// - Returns: how long it rests now.
  mutating func failed(_ stream: Int32, at now: Instant) -> Duration {
    guard var entry = entries[stream] else { return .zero }
    defer { entries[stream] = entry }
    let delay = entry.failed.next()
    entry.place = Place()
    entry.isRung = false
    entry.again = now + delay
    return delay
  }
}
