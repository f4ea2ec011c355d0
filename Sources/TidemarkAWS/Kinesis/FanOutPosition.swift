#if AWS
import Tidemark

/// Where and when a shard may be subscribed to.
///
/// A subscription lasts up to five minutes. Another one may be asked for once a second, is refused within 5 s of one that
/// succeeded, and takes over from it after that:
/// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
struct FanOutPosition: Sendable {
  typealias Instant = ContinuousClock.Instant

  /// How old a subscription becomes. It is given up before the service ends it.
  static let lifetime = Duration.seconds(290)
  private static let timeBetweenCalls = Duration.seconds(1)
  private static let timeToTakeover = Duration.seconds(5)
  /// Within this, nothing is trimmed of what comes after the tip of a shard: no stream keeps records for less than a
  /// day.
  private static let retention = Duration.seconds(3600)

  private var position: ReadPosition
  /// The tip of the shard when an event said that there was no more, which may be no record's.
  private var tip: (number: SequenceNumber, seen: Instant)?
  private var lastCall: Instant?
  private var lastSuccess: Instant?

  init(_ checkpoint: Checkpoint) {
    position = ReadPosition(checkpoint)
  }

  var checkpoint: Checkpoint { position.checkpoint }

  /// How long the next call has to wait.
  func wait(at now: Instant) -> Duration {
    let earliest = [
      lastCall?.advanced(by: Self.timeBetweenCalls), lastSuccess?.advanced(by: Self.timeToTakeover),
    ]
    return max(.zero, now.duration(to: earliest.compactMap { $0 }.max() ?? now))
  }

  /// Behind the tip, which saves the way there from an old record; or at the last record, to see whether it still exists.
  mutating func call(at now: Instant) -> StartingPosition {
    lastCall = now
    if let tip, tip.seen.duration(to: now) < Self.retention { return StartingPosition(behind: tip.number) }
    tip = nil
    return StartingPosition(at: position.checkpoint)
  }

  /// - Parameter time: when the service opened the subscription, or somewhat earlier.
  mutating func opened(at time: Timestamp, _ now: Instant) {
    lastSuccess = now
    position.opened(at: time, isBehindCheckpoint: tip != nil)
  }

  func isOld(at now: Instant) -> Bool {
    lastSuccess.map { $0.duration(to: now) >= Self.lifetime } ?? true
  }

  /// - Parameter continuation: the number that the event says to go on after.
  /// - Returns: the records that are new; `nil` if the one at the checkpoint is gone, and others may be.
  mutating func receive(
    _ records: [Record],
    of span: ReceivedSpan?,
    isCaughtUp: Bool,
    isEnd: Bool,
    continuation: SequenceNumber?,
    at now: Instant
  ) -> ArraySlice<Record>? {
    let new = position.receive(records, of: span, isCaughtUp: isCaughtUp, isEnd: isEnd)
    tip = isCaughtUp && new != nil ? continuation.map { ($0, now) } : nil
    return new
  }
}
#endif
