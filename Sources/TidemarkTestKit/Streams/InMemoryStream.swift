import Synchronization
import Tidemark
import Waiting

/// A stream that lives in memory, for tests and simulations: shards that are split, merged, trimmed and closed
/// on demand.
///
/// Readers wait for records without polling. Sequence numbers rise across all shards, so a child's are greater
/// than its parents'.
public final class InMemoryStream: StreamSource {
  /// A call to the stream, as a fault injector sees it.
  public enum Call: Sendable, Hashable {
    case listShards
    case openReader(shardID: String)
    case nextPage(shardID: String)
  }

  /// Asked before every call: what it throws, the call throws.
  public typealias FaultInjector = @Sendable (Call) throws -> Void

  private let name: String
  private let clock: any MonotonicClock
  private let pageWait: Duration
  private let state: Mutex<State>
  private let injector = Mutex<FaultInjector?>(nil)
  private let start: ContinuousClock.Instant

  /// - Parameters:
  ///   - name: the stream's name as it appears in leases.
  ///   - shardCount: how many open shards there are at first; they share the hash range equally.
  ///   - clock: what readers wait with and what records are dated by, from 0 at the stream's making.
  ///   - pageWait: how long a reader waits for records before it returns an empty page.
  public init(
    name: String = "stream",
    shardCount: Int = 1,
    clock: any MonotonicClock = ContinuousClock(),
    pageWait: Duration = .seconds(1)
  ) {
    self.name = name
    self.clock = clock
    self.pageWait = pageWait
    start = clock.now
    state = Mutex(State(shardCount: shardCount))
  }

  /// Asks `injector` before every call what shall become of it; `nil` ends that.
  public func injectFaults(_ injector: FaultInjector?) {
    self.injector.withLock { $0 = injector }
  }

  /// The time since the stream was made, as its records are dated.
  public var now: Timestamp {
    let (seconds, attoseconds) = start.duration(to: clock.now).components
    return Timestamp(microsecondsSinceEpoch: seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
  }

  // MARK: Producing

  /// Appends a record to the open shard that takes the partition key.
  ///
  /// - Throws: `streamDisabled` if no open shard does.
  @discardableResult
  public func put(_ data: [UInt8], partitionKey: String) throws -> Record {
    guard let record = try putAggregated([data], partitionKey: partitionKey).first else {
      throw TidemarkError(.streamDisabled, "The stream \(name) takes no records.")
    }
    return record
  }

  /// Appends records under one sequence number, told apart by their sub-sequence numbers.
  @discardableResult
  public func putAggregated(_ payloads: [[UInt8]], partitionKey: String) throws -> [Record] {
    let time = now
    let (records, waiting) = try state.withLock { state in
      guard let shardID = state.openShard(taking: partitionKey) else {
        throw TidemarkError(.streamDisabled, "The stream \(name) takes no records.")
      }
      return (
        state.append(payloads, partitionKey: partitionKey, to: shardID, at: time), state.takeWaiting(shardID)
      )
    }
    for waiter in waiting { waiter.fire() }
    return records
  }

  /// The open shard that takes a partition key.
  public func shardID(taking partitionKey: String) -> String? {
    state.withLock { $0.openShard(taking: partitionKey) }
  }

  /// All shards as they stand, oldest first; no fault touches this.
  public var currentShards: [Shard] {
    state.withLock { state in state.order.compactMap { state.shards[$0]?.shard } }
  }

  /// All records that a shard still has.
  public func records(of shardID: String) -> [Record] {
    state.withLock { $0.shards[shardID]?.records ?? [] }
  }

  // MARK: Shards

  /// Closes a shard and opens two children that share its hash range.
  /// - Returns: the children; none if the shard is not open.
  @discardableResult
  public func split(_ shardID: String) -> [Shard] {
    replace([shardID]) { parents in
      guard let range = parents.first?.hashRange, range.start < range.end else { return [] }
      let middle = range.start + (range.end - range.start) / 2
      return [.init(start: range.start, end: middle), .init(start: middle + 1, end: range.end)]
    }
  }

  /// Closes two shards and opens one child that takes both hash ranges.
  /// - Returns: the child; `nil` if one of the shards is not open or they are not neighbours.
  @discardableResult
  public func merge(_ first: String, _ second: String) -> Shard? {
    replace([first, second]) { parents in
      let ranges = parents.compactMap(\.hashRange).sorted { $0.start < $1.start }
      guard ranges.count == 2, ranges[0].end < .max, ranges[0].end + 1 == ranges[1].start else { return [] }
      return [.init(start: ranges[0].start, end: ranges[1].end)]
    }.first
  }

  /// Closes a shard and opens one child in its place.
  @discardableResult
  public func rotate(_ shardID: String) -> Shard? {
    replace([shardID]) { parents in parents.compactMap(\.hashRange) }.first
  }

  private func replace(
    _ parents: [String],
    by ranges: ([Shard]) -> [Shard.HashRange]
  ) -> [Shard] {
    let time = now
    let (children, waiting) = state.withLock { state in
      let children = state.replace(parents, by: ranges, at: time)
      return (children, children.isEmpty ? [] : parents.flatMap { state.takeWaiting($0) })
    }
    for waiter in waiting { waiter.fire() }
    return children
  }

  /// Closes every shard, without children: the stream is disabled and can be read to its end.
  public func close() {
    let time = now
    let waiting = state.withLock { state in
      for shardID in state.order where state.shards[shardID]?.shard.isOpen == true {
        state.close(shardID, at: time)
      }
      return state.order.flatMap { state.takeWaiting($0) }
    }
    for waiter in waiting { waiter.fire() }
  }

  /// Drops a shard's records up to and including this one, as retention does.
  public func trim(_ shardID: String, through sequenceNumber: SequenceNumber) {
    let waiting = state.withLock { state in
      state.shards[shardID]?.trim(through: sequenceNumber)
      return state.takeWaiting(shardID)
    }
    for waiter in waiting { waiter.fire() }
  }

  /// Lists a shard no more and forgets its records, as retention does with a closed shard.
  public func remove(_ shardID: String) {
    let waiting = state.withLock { state in
      state.shards[shardID] = nil
      state.order.removeAll { $0 == shardID }
      return state.takeWaiting(shardID)
    }
    for waiter in waiting { waiter.fire() }
  }

  // MARK: Histories

  /// What the stream had at one moment.
  public struct Backup: Sendable {
    fileprivate var state: State
  }

  public func backUp() -> Backup { Backup(state: state.withLock { $0 }) }

  /// Goes on on another history of the database that it is in, whose number is the upper half of all sequence
  /// numbers from now on.
  /// - Parameter backup: what is left of the stream; `nil` if it has lost nothing.
  public func enterHistory(_ number: Int64, on backup: Backup? = nil) {
    let waiting = state.withLock { state in
      if let backup { state.lose(since: backup.state) }
      state.enterHistory(number)
      return state.takeAllWaiting()
    }
    for waiter in waiting { waiter.fire() }
  }

  // MARK: StreamSource

  public func streamName() async throws -> String { name }

  public func shards() async throws -> [Shard] {
    try fail(.listShards)
    return currentShards
  }

  public func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
    try fail(.openReader(shardID: shardID))
    let (cursor, origin, losses) = try state.withLock { state in
      guard let shard = state.shards[shardID] else { throw noSuchShard(shardID) }
      guard let cursor = shard.cursor(after: checkpoint) else { throw trimmed(shardID) }
      return (cursor, checkpoint == .latest ? shard.head : checkpoint, state.losses)
    }
    return Reader(stream: self, shardID: shardID, origin: origin, cursor: cursor, losses: losses)
  }

  private func fail(_ call: Call) throws {
    try injector.withLock { $0 }?(call)
  }

  private func noSuchShard(_ shardID: String) -> TidemarkError {
    TidemarkError(.shardNotFound, "The stream \(name) does not list the shard \(shardID).")
  }

  private func trimmed(_ shardID: String) -> TidemarkError {
    TidemarkError(.recordsTrimmed, "Records of the shard \(shardID) at this position are gone.")
  }

  // MARK: Reading

  private final class Reader: ShardReader {
    private let stream: InMemoryStream
    private let shardID: String
    let origin: Checkpoint
    private let cursor: Mutex<Int>
    /// How often the stream had lost its tail when the cursor was found.
    private let losses: Int

    init(stream: InMemoryStream, shardID: String, origin: Checkpoint, cursor: Int, losses: Int) {
      self.losses = losses
      self.stream = stream
      self.shardID = shardID
      self.origin = origin
      self.cursor = Mutex(cursor)
    }

    func nextPage(maximumRecords: Int) async throws -> ShardPage {
      try stream.fail(.nextPage(shardID: shardID))
      let position = cursor.withLock { $0 }
      if try !stream.hasNews(in: shardID, at: position) {
        try await stream.waitForNews(in: shardID, at: position)
      }
      let (page, next) = try stream.page(
        of: shardID,
        at: position,
        maximumRecords: maximumRecords,
        losses: losses
      )
      cursor.withLock { $0 = next }
      return page
    }
  }

  private func hasNews(in shardID: String, at cursor: Int) throws -> Bool {
    try state.withLock { state in
      guard let shard = state.shards[shardID] else { throw noSuchShard(shardID) }
      return !shard.shard.isOpen || cursor < shard.endIndex
    }
  }

  private func page(
    of shardID: String,
    at cursor: Int,
    maximumRecords: Int,
    losses: Int
  ) throws -> (ShardPage, Int) {
    let time = now
    return try state.withLock { state in
      guard state.losses == losses else {
        throw TidemarkError(.iteratorExpired, "The stream has lost its tail.")
      }
      guard let shard = state.shards[shardID] else { throw noSuchShard(shardID) }
      guard cursor >= shard.firstIndex else { throw trimmed(shardID) }
      let records = shard.records[(cursor - shard.firstIndex)...].prefix(maximumRecords)
      let next = cursor + records.count
      let isLast = next == shard.endIndex
      var page = ShardPage(records: Array(records), readAt: time)
      if !isLast, let last = records.last {
        let age = time.microsecondsSinceEpoch - last.approximateCreationTime.microsecondsSinceEpoch
        page.millisBehindLatest = max(age / 1000, 1)
      }
      if isLast, !shard.shard.isOpen {
        page.end = ShardPage.End(children: state.children(of: shardID))
      }
      return (page, next)
    }
  }

  /// Waits until a shard may have something new, or for as long as a page may take.
  private func waitForNews(in shardID: String, at cursor: Int) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [clock, pageWait] in try await clock.sleep(for: pageWait) }
      group.addTask { await self.waitForChange(of: shardID, at: cursor) }
      try await group.next()
      group.cancelAll()
    }
    try Task.checkCancellation()
  }

  private func waitForChange(of shardID: String, at cursor: Int) async {
    let news = OneShotSignal()
    let waits = state.withLock { $0.wait(news, for: shardID, at: cursor) }
    if waits, await news.wait() == nil { state.withLock { $0.remove(news, of: shardID) } }
  }
}
