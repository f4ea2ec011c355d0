/// How one shard is read a page ahead of the processor: a part of ``ShardConsumer``, which says when to go on.
///
/// At most one call to the source is under way at any time, and at most one page waits.
struct ReadAhead {
  typealias Action = ShardConsumer.Action

  struct Page {
    var page: ShardPage
    /// When it was read; `nil` if it was not.
    var at: ContinuousClock.Instant?

    /// By the source's clock when the record was read, and by the worker's since then.
    func age(of record: Record, at instant: ContinuousClock.Instant) -> Duration? {
      guard let readAt = page.readAt, let instantOfRead = at else { return nil }
      let ageWhenRead =
        readAt.microsecondsSinceEpoch - record.approximateCreationTime.microsecondsSinceEpoch
      return .microseconds(ageWhenRead) + instantOfRead.duration(to: instant)
    }
  }

  private enum State {
    case closed
    case busy
    case open
    /// Nothing more is to be read: the end was seen, or reading has become impossible.
    case over
  }

  /// The source's failures are not the processor's: reading goes on soon after an outage, however long it was.
  private static let backoff = Backoff(initial: .milliseconds(50), maximum: .seconds(2))

  private let trimmedData: TrimmedDataPolicy
  private var random: SharedRandom
  private var state = State.closed
  /// In a row, since the last page: that a reader opens says nothing about whether it can be read from.
  private var failures = 0
  /// The last record that was read, where a new reader has to continue.
  private var position: Checkpoint
  /// What `LATEST` has turned out to be, until it is kept.
  private var place: Checkpoint?
  private var nextPage: Page?
  /// Why the shard has to be stopped once everything that was read is handled.
  private(set) var stopReason: String?

  init(after checkpoint: Checkpoint, trimmedData: TrimmedDataPolicy, random: SharedRandom) {
    self.position = checkpoint
    self.trimmedData = trimmedData
    self.random = random
  }

  mutating func takePage() -> Page? { nextPage.take() }

  /// The place that is to be kept before anything is read.
  mutating func takePlace() -> Checkpoint? { place.take() }

  mutating func placeKept() { state = .open }

  /// Reads the next page, unless one waits or is being read.
  mutating func goOn() -> [Action] {
    guard nextPage == nil else { return [] }
    switch state {
    case .closed: return [open(after: position)]
    case .open:
      state = .busy
      return [.read]
    case .busy, .over: return []
    }
  }

  private mutating func open(after position: Checkpoint, pause: Duration = .zero) -> Action {
    state = .busy
    return .open(after: position, pause: pause)
  }

  mutating func opened(after origin: Checkpoint) {
    let isLatest = position == .latest
    position = origin
    if isLatest, origin > .latest {
      // Kept, or records that arrive before the first checkpoint would be skipped by the next owner, which would find
      // another latest.
      place = origin
    } else {
      state = .open
    }
  }

  mutating func received(_ page: ShardPage, at instant: ContinuousClock.Instant) -> [Action] {
    failures = 0
    state = page.end == nil ? .open : .over
    if let last = page.records.last { position = last.checkpoint }
    if !page.records.isEmpty || page.end != nil { nextPage = Page(page: page, at: instant) }
    return page.loss.map { [.report(.lost($0))] } ?? []
  }

  mutating func failed(_ error: TidemarkError) -> [Action] {
    switch error.code {
    case .recordsTrimmed, .shardNotFound:
      return trimmed(error)
    case .iteratorExpired where failures == 0:
      // One that expires again before it was read from is a failure like any other.
      failures = 1
      return [open(after: position)]
    default:
      failures += 1
      let pause = Self.backoff.pause(afterAttempt: failures, using: &random)
      // A reader that failed to open is not there to be read from; opening again is right in both cases.
      return [.report(.readFailed(error, pause: pause)), open(after: position, pause: pause)]
    }
  }

  private mutating func trimmed(_ error: TidemarkError) -> [Action] {
    let report = Action.report(.trimmed(error, after: position))
    switch (trimmedData, error.code) {
    case (.stop, _):
      state = .over
      stopReason = error.message
      return [report]
    case (.skipToHorizon, .recordsTrimmed):
      return [report, open(after: .trimHorizon)]
    case (.skipToHorizon, _):
      // The whole shard is gone, so this is its end; its children are found by the next shard sync.
      state = .over
      nextPage = Page(page: ShardPage(records: [], end: ShardPage.End(children: [])), at: nil)
      return [report]
    }
  }
}
