#if AWS
import AWSRequests
import Tidemark

/// A cursor in one shard of a Kinesis stream that pushes its records.
actor FanOutShardReader: ShardReader {
  /// An owner that has gone keeps its subscription for 5 s at most.
  private static let maximumCalls = 8

  private let source: KinesisSource
  private let consumer: FanOutConsumer
  private let shardID: String
  let origin: Checkpoint
  private var position: FanOutPosition
  private var opened: Opened?
  /// What is left of the last event.
  private var rest: Rest?

  private struct Opened {
    var subscription: ShardSubscription
    /// By the service's clock and by this process's.
    var time: Timestamp
    var instant: ContinuousClock.Instant
  }

  private struct Rest {
    var records: ArraySlice<Record>
    var millisBehindLatest: Int64
    var readAt: Timestamp
    var end: ShardPage.End?
  }

  private init(
    _ source: KinesisSource,
    _ consumer: FanOutConsumer,
    _ shardID: String,
    _ position: FanOutPosition,
    _ opened: Opened
  ) {
    (self.source, self.consumer, self.shardID) = (source, consumer, shardID)
    (self.position, self.opened) = (position, opened)
    origin = position.checkpoint
  }

  static func open(
    _ shardID: String,
    after checkpoint: Checkpoint,
    as consumer: FanOutConsumer,
    in source: KinesisSource
  ) async throws -> FanOutShardReader {
    var position = FanOutPosition(checkpoint)
    let opened = try await subscribe(to: shardID, at: &position, as: consumer, in: source)
    return FanOutShardReader(source, consumer, shardID, position, opened)
  }

  private static func subscribe(
    to shardID: String,
    at position: inout FanOutPosition,
    as consumer: FanOutConsumer,
    in source: KinesisSource
  ) async throws -> Opened {
    let clock = source.environment.clock
    var calls = 0
    while true {
      let wait = position.wait(at: clock.now)
      if wait > .zero { try await clock.sleep(for: wait) }
      let arn = try await consumer.arn(at: source.streamARN)
      // Taken before the call, because what is opened later sees less.
      let now = source.environment.now()
      let request = SubscriptionRequest(
        ConsumerARN: arn,
        ShardId: shardID,
        StartingPosition: position.call(at: clock.now)
      )
      do {
        let response = try await KinesisSource.tellingStreams {
          try await source.client.open("SubscribeToShard", to: .kinesis, request)
        }
        let subscription = ShardSubscription(response, timeout: source.client.timeout)
        let time = subscription.date ?? now
        position.opened(at: time, clock.now)
        return Opened(subscription: subscription, time: time, instant: clock.now)
      } catch let error as TidemarkError {
        if error.code == .shardNotFound { try await consumer.confirm(at: source.streamARN) }
        calls += 1
        guard error.isResourceInUse, calls < maximumCalls else { throw error }
      }
    }
  }

  func nextPage(maximumRecords: Int) async throws -> ShardPage {
    let limit = max(1, maximumRecords)
    if rest == nil {
      do {
        rest = try await nextEvent()
      } catch {
        // Where an event cannot be read, those after it are of no use.
        opened = nil
        throw error
      }
    }
    return page(of: limit)
  }

  private func nextEvent() async throws -> Rest? {
    try source.ensureSameStream()
    let opened = try await currentSubscription()
    guard let event = try await opened.subscription.next() else {
      self.opened = nil
      return nil
    }
    let answer = try RecordsAnswer(event, shardID: shardID, hashKeys: source.hashKeys(of: shardID))
    let isEnd = answer.continuation == nil || !answer.children.isEmpty
    let isCaughtUp = answer.millisBehindLatest == 0
    let children = isEnd ? try await source.children(of: shardID, in: answer, event) : []
    let now = source.environment.clock.now
    let records = (0..<answer.records.count).map { Record(in: answer.records, at: $0) }
    let new = position.receive(
      records,
      of: answer.records.span,
      isCaughtUp: isCaughtUp,
      isEnd: isEnd,
      continuation: answer.continuation,
      at: now
    )
    guard let new else { throw KinesisSource.trimmed(at: position.checkpoint, of: shardID) }
    source.tell(answer.records.foreign, of: shardID)
    return Rest(
      records: new,
      millisBehindLatest: answer.millisBehindLatest,
      readAt: opened.time + opened.instant.duration(to: now),
      end: isEnd ? ShardPage.End(children: children) : nil
    )
  }

  private func currentSubscription() async throws -> Opened {
    if let opened, !position.isOld(at: source.environment.clock.now) { return opened }
    opened = nil
    var position = position
    defer { self.position = position }
    let new = try await Self.subscribe(to: shardID, at: &position, as: consumer, in: source)
    opened = new
    return new
  }

  /// Nothing where the subscription has ended: the next page begins another one.
  private func page(of limit: Int) -> ShardPage {
    guard var event = rest else { return ShardPage(records: []) }
    let records = event.records.prefix(limit)
    event.records = event.records.dropFirst(limit)
    let isWhole = event.records.isEmpty
    rest = isWhole ? nil : event
    return ShardPage(
      records: Array(records),
      millisBehindLatest: event.millisBehindLatest,
      readAt: event.readAt,
      end: isWhole ? event.end : nil
    )
  }
}
#endif
