#if AWS
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Where a reader of a Kinesis shard stands")
struct ReadPositionTests {
  private static let noon = Timestamp(microsecondsSinceEpoch: 1_780_315_200_000_000)

  private func records(_ numbers: (SequenceNumber, UInt64)...) -> [Record] {
    numbers.map { number, sub in
      Record(
        sequenceNumber: number,
        subSequenceNumber: sub,
        partitionKey: "k",
        approximateCreationTime: Self.noon,
        body: .data([])
      )
    }
  }

  private func position(_ checkpoint: Checkpoint) -> ReadPosition {
    var position = ReadPosition(checkpoint)
    position.opened(at: Self.noon)
    return position
  }

  @Test("a read position is the moment of the first iterator where LATEST was asked for, and stays that")
  func latest() {
    var position = position(.latest)
    #expect(position.checkpoint == .atTimestamp(Self.noon) && !position.expectsCheckpoint)
    position.opened(at: Timestamp(microsecondsSinceEpoch: 0))
    #expect(position.checkpoint == .atTimestamp(Self.noon))
    #expect(position.count(records((5, 0)), isCaughtUp: true, isEnd: false) == 1)
    #expect(position.checkpoint == .record(5))
  }

  @Test("a read position leaves out what is handled of the records that were packed under one number")
  func packed() throws {
    var position = position(.record(5, subSequenceNumber: 1))
    let received = position.receive(
      records((5, 0), (5, 1), (5, 2), (6, 0)),
      of: ReceivedSpan(first: 5, last: .record(6)),
      isCaughtUp: false,
      isEnd: false
    )
    let new = try #require(received)
    #expect(new.map(\.checkpoint) == [.record(5, subSequenceNumber: 2), .record(6)])
    #expect(position.checkpoint == .record(6) && !position.expectsCheckpoint)
  }

  @Test(
    "a read position knows that records are gone when another comes first than that of the checkpoint, or the end"
  )
  func trimmed() {
    var other = position(.record(5))
    #expect(other.count(records((6, 0)), isCaughtUp: true, isEnd: false) == nil)
    var end = position(.record(5))
    #expect(end.count([], isCaughtUp: true, isEnd: true) == nil)
    #expect(other.checkpoint == .record(5) && end.checkpoint == .record(5))
  }

  @Test(
    "a read position waits for the record of the checkpoint over empty pages, until it has caught up without it"
  )
  func empty() {
    var position = position(.record(5))
    #expect(position.count([], isCaughtUp: false, isEnd: false) == 0)
    #expect(position.expectsCheckpoint)
    #expect(position.count([], isCaughtUp: true, isEnd: false) == 0)
    #expect(!position.expectsCheckpoint)
    #expect(position.count(records((6, 0)), isCaughtUp: true, isEnd: false) == 1)
  }

  /// What is left of three user records under 5.
  struct Left: Sendable {
    var ofFive: [UInt64]
    var checkpoint: UInt64
    var new: [UInt64]
  }

  @Test(
    "a read position goes on in and after a record whose user records belong to other shards, all or some",
    arguments: [
      Left(ofFive: [], checkpoint: 2, new: []), Left(ofFive: [], checkpoint: 0, new: []),
      Left(ofFive: [0, 2], checkpoint: 1, new: [2]), Left(ofFive: [0, 2], checkpoint: 0, new: [2]),
      Left(ofFive: [1], checkpoint: 0, new: [1]), Left(ofFive: [1], checkpoint: 2, new: []),
      Left(ofFive: [0, 1], checkpoint: 2, new: []), Left(ofFive: [0, 1, 2], checkpoint: 2, new: []),
      Left(ofFive: [0, 1, 2], checkpoint: 1, new: [2]),
    ]
  )
  func foreign(left: Left) throws {
    for isAlone in [true, false] {
      var position = position(.record(5, subSequenceNumber: left.checkpoint))
      let others = isAlone ? [] : records((6, 0))
      let received = position.receive(
        left.ofFive.flatMap { records((5, $0)) } + others,
        of: ReceivedSpan(first: 5, last: isAlone ? .record(5, subSequenceNumber: 2) : .record(6)),
        isCaughtUp: false,
        isEnd: isAlone
      )
      let new = left.new.map { Checkpoint.record(5, subSequenceNumber: $0) } + others.map(\.checkpoint)
      #expect(try #require(received).map(\.checkpoint) == new)
      #expect(position.checkpoint == (isAlone ? .record(5, subSequenceNumber: 2) : .record(6)))
      #expect(!position.expectsCheckpoint)
    }
  }

  @Test("a read position still knows that records are gone when what comes first was left out")
  func trimmedForeign() {
    var position = position(.record(5))
    let span = ReceivedSpan(first: 6, last: .record(6, subSequenceNumber: 2))
    #expect(position.receive([], of: span, isCaughtUp: true, isEnd: false) == nil)
    #expect(position.checkpoint == .record(5))
  }

  @Test(
    "a read position moves on over records that were left out, so that it is not opened again before them",
    arguments: [Checkpoint.trimHorizon, .latest, .atTimestamp(Self.noon), .record(4)]
  )
  func onlyForeign(checkpoint: Checkpoint) {
    var position = position(checkpoint)
    let isRecord = checkpoint.sequenceNumber != nil
    let span = ReceivedSpan(first: isRecord ? 4 : 5, last: .record(5, subSequenceNumber: 2))
    #expect(position.receive([], of: span, isCaughtUp: true, isEnd: false)?.isEmpty == true)
    position.opened(at: Self.noon)
    // The range is no longer known: what was left out once is not handed out now.
    #expect(position.count(records((5, 0), (5, 1), (5, 2)), isCaughtUp: true, isEnd: true) == 0)
  }

  @Test(
    "a read position needs no record before TRIM_HORIZON or a moment",
    arguments: [Checkpoint.trimHorizon, .atTimestamp(Self.noon)]
  )
  func beginnings(checkpoint: Checkpoint) {
    var position = position(checkpoint)
    #expect(position.count(records((6, 0)), isCaughtUp: true, isEnd: false) == 1)
    #expect(position.count([], isCaughtUp: true, isEnd: true) == 0)
  }
}

extension ReadPosition {
  /// Where nothing was left out.
  fileprivate mutating func count(_ records: [Record], isCaughtUp: Bool, isEnd: Bool) -> Int? {
    var span: ReceivedSpan?
    if let first = records.first, let last = records.last {
      span = ReceivedSpan(first: first.sequenceNumber, last: last.checkpoint)
    }
    return receive(records, of: span, isCaughtUp: isCaughtUp, isEnd: isEnd)?.count
  }
}

@Suite("The pace of polling Kinesis")
struct ReadPaceTests {
  private let start = ContinuousClock.now

  private func instant(_ milliseconds: Int) -> ContinuousClock.Instant {
    start.advanced(by: .milliseconds(milliseconds))
  }

  @Test("the pace is five reads a second while there is more, whenever they were")
  func quota() {
    var pace = ReadPace(pollInterval: .seconds(1))
    for read in 0..<5 {
      #expect(pace.wait(at: instant(read * 10)) == .zero)
      pace.noteRead(at: instant(read * 10))
      pace.noteAnswer(isCaughtUp: false)
    }
    #expect(pace.wait(at: instant(50)) == .milliseconds(950))
    pace.noteRead(at: instant(1000))
    #expect(pace.wait(at: instant(1000)) == .milliseconds(10))
    #expect(pace.wait(at: instant(1010)) == .zero)
  }

  @Test(
    "the pace is the poll interval once there is no more, counted from the last read, but not after an error"
  )
  func interval() {
    var pace = ReadPace(pollInterval: .seconds(2))
    pace.noteRead(at: instant(0))
    #expect(pace.wait(at: instant(100)) == .zero)
    pace.noteAnswer(isCaughtUp: true)
    #expect(pace.wait(at: instant(500)) == .milliseconds(1500))
    #expect(pace.wait(at: instant(3000)) == .zero)
    pace.noteRead(at: instant(3000))
    #expect(pace.wait(at: instant(3010)) == .zero)
  }
}
#endif
