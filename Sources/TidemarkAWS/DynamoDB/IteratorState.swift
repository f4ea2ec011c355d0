#if AWS
import AWSRequests
import Tidemark

/// Where a reader of a shard stands, and what it does about errors of its iterator.
struct IteratorState: Sendable {
  enum Step: Sendable, Equatable {
    /// Get an iterator that begins here, then read.
    case renew(IteratorStart)
    /// The error is the caller's.
    case fail(TidemarkError.Code)
  }

  /// What a new iterator begins with.
  private(set) var start: IteratorStart
  /// Records that are older are left out, to the second, which is how the service rounds.
  private(set) var oldest: Timestamp?
  /// The iterator to read with; `nil` until there is one.
  private(set) var iterator: String?
  private var renewals = 0

  /// - Throws: `TidemarkError` (`checkpointOutOfRange`) for the end, after which nobody needs a reader.
  init(after checkpoint: Checkpoint) throws {
    switch checkpoint {
    case .trimHorizon: start = .trimHorizon
    case .latest: start = .latest
    case .record(let number, _): start = .after(number)
    case .atTimestamp(let time): (start, oldest) = (.trimHorizon, time.wholeSeconds)
    case .shardEnd:
      throw TidemarkError(.checkpointOutOfRange, "There is nothing to read after the end of a shard.")
    }
  }

  /// `LATEST` is a place only once: asked for again later, it would be another one, and what came in between would be
  /// lost. From now on it is the moment at which it was asked for.
  mutating func opened(_ iterator: String, at date: Timestamp) {
    self.iterator = iterator
    guard start == .latest else { return }
    start = .trimHorizon
    oldest = (date + .seconds(-1)).wholeSeconds
  }

  /// Notes what was read and handed out.
  mutating func advance(to iterator: String?, after last: SequenceNumber?) {
    self.iterator = iterator
    renewals = 0
    if let last { start = .after(last) }
  }

  /// - Parameter code: of an error of `GetRecords`.
  mutating func step(after code: TidemarkError.Code) -> Step {
    switch code {
    case .iteratorExpired:
      iterator = nil
      renewals += 1
      // One that is expired as soon as it is there is no help.
      return renewals > 1 ? fail(code) : .renew(start)
    case .recordsTrimmed where start == .trimHorizon:
      // The oldest record went while the iterator pointed at it. Where that happens again, nothing is left.
      iterator = nil
      renewals += 1
      return renewals > 1 ? fail(.shardNotFound) : .renew(start)
    default: return fail(code)
    }
  }

  /// A caller that reads again later has a renewal of its own.
  private mutating func fail(_ code: TidemarkError.Code) -> Step {
    renewals = 0
    return .fail(code)
  }
}

extension Timestamp {
  fileprivate var wholeSeconds: Timestamp {
    Timestamp(millisecondsSinceEpoch: microsecondsSinceEpoch / 1_000_000 * 1000)
  }
}
#endif
