#if AWS
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("An iterator of DynamoDB Streams")
struct IteratorStateTests {
  private static let noon = Timestamp(microsecondsSinceEpoch: 1_780_315_200_900_000)
  private static let second: Int64 = 1_780_315_200_000_000

  private func state(_ checkpoint: Checkpoint, read: SequenceNumber? = nil) throws -> IteratorState {
    var state = try IteratorState(after: checkpoint)
    state.opened("I", at: Self.noon)
    if let read { state.advance(to: "I", after: read) }
    return state
  }

  @Test(
    "an iterator begins where the checkpoint says",
    arguments: [
      (Checkpoint.trimHorizon, IteratorStart.trimHorizon, "TRIM_HORIZON"), (.latest, .latest, "LATEST"),
      (.record(7), .after(7), "AFTER_SEQUENCE_NUMBER"),
      (.atTimestamp(Self.noon), .trimHorizon, "TRIM_HORIZON"),
    ]
  )
  func beginnings(checkpoint: Checkpoint, start: IteratorStart, type: String) throws {
    let state = try IteratorState(after: checkpoint)
    #expect(state.start == start && state.start.type == type && state.iterator == nil)
    #expect(start.sequenceNumber == checkpoint.sequenceNumber)
  }

  @Test("an iterator has nothing to begin with after the end of a shard")
  func shardEnd() {
    let error = #expect(throws: TidemarkError.self) { try IteratorState(after: .shardEnd) }
    #expect(error?.code == .checkpointOutOfRange)
  }

  @Test("an iterator leaves out what is older than a moment, to the second, as the service rounds")
  func timestamps() throws {
    #expect(try state(.atTimestamp(Self.noon)).oldest == Timestamp(microsecondsSinceEpoch: Self.second))
    #expect(try state(.trimHorizon).oldest == nil && state(.record(7)).oldest == nil)
  }

  @Test("an iterator makes of LATEST the second before it was asked for, and asks for it no more")
  func latest() throws {
    var state = try state(.latest)
    #expect(state.start == .trimHorizon && state.iterator == "I")
    #expect(state.oldest == Timestamp(microsecondsSinceEpoch: Self.second - 1_000_000))
    #expect(state.step(after: .iteratorExpired) == .renew(.trimHorizon))
    state.opened("J", at: Timestamp(microsecondsSinceEpoch: Self.second + 60_000_000))
    #expect(state.oldest == Timestamp(microsecondsSinceEpoch: Self.second - 1_000_000))
  }

  @Test("an iterator is renewed after the last record when it expires, once, and again after the next page")
  func expired() throws {
    var state = try state(.trimHorizon, read: 8)
    #expect(state.step(after: .iteratorExpired) == .renew(.after(8)))
    #expect(state.iterator == nil)
    #expect(state.step(after: .iteratorExpired) == .fail(.iteratorExpired))
    // A caller that reads again has a renewal again.
    #expect(state.step(after: .iteratorExpired) == .renew(.after(8)))
    state.advance(to: "K", after: nil)
    #expect(state.step(after: .iteratorExpired) == .renew(.after(8)))
  }

  @Test("an iterator tells that records were trimmed that it was to read")
  func trimmed() throws {
    var state = try state(.record(7))
    #expect(state.step(after: .recordsTrimmed) == .fail(.recordsTrimmed))
    #expect(state.start == .after(7))
  }

  @Test(
    "an iterator goes to the oldest record again when that was trimmed meanwhile, and where that does not help, nothing is left"
  )
  func trimmedAtHorizon() throws {
    var state = try state(.trimHorizon)
    #expect(state.step(after: .recordsTrimmed) == .renew(.trimHorizon))
    #expect(state.step(after: .recordsTrimmed) == .fail(.shardNotFound))
  }

  @Test(
    "an iterator stays where it is after any other error",
    arguments: [TidemarkError.Code.throttled, .accessDenied]
  )
  func others(code: TidemarkError.Code) throws {
    var state = try state(.trimHorizon, read: 8)
    #expect(state.step(after: code) == .fail(code))
    #expect(state.iterator == "I" && state.start == .after(8))
  }
}

@Suite("The pace of reading DynamoDB Streams")
struct PollPaceTests {
  private static let interval = Duration.seconds(1)

  @Test("the pace is without pauses after a page that is full or whose last record is old")
  func behind() {
    var pace = PollPace(Self.interval)
    #expect(pace.note(isFull: true, age: .zero) == true)
    #expect(pace.pause == .zero)
    #expect(pace.note(isFull: false, age: .seconds(11)) == true)
    #expect(pace.pause == .zero)
  }

  @Test("the pace has a short pause after new records")
  func caughtUp() {
    var pace = PollPace(Self.interval)
    #expect(pace.note(isFull: false, age: .seconds(10)) == false)
    #expect(pace.pause == .milliseconds(250))
  }

  @Test(
    "the pace grows with each page in a row that is empty, up to the interval, and begins again after a record"
  )
  func empty() {
    var pace = PollPace(Self.interval)
    var pauses: [Duration] = []
    for _ in 0..<5 {
      #expect(pace.note(isFull: false, age: nil) == false)
      pauses.append(pace.pause)
    }
    #expect(pauses == [250, 500, 1000, 1000, 1000].map { .milliseconds($0) })
    _ = pace.note(isFull: false, age: .zero)
    _ = pace.note(isFull: false, age: nil)
    #expect(pace.pause == .milliseconds(250))
  }
}
#endif
