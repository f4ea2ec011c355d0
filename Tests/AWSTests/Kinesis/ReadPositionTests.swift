import Testing
import Tidemark

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

  @Test("is the moment of the first iterator where LATEST was asked for, and stays that")
  func latest() {
    var position = position(.latest)
    #expect(position.checkpoint == .atTimestamp(Self.noon) && !position.expectsCheckpoint)
    position.opened(at: Timestamp(microsecondsSinceEpoch: 0))
    #expect(position.checkpoint == .atTimestamp(Self.noon))
    #expect(position.count(records((5, 0)), isCaughtUp: true, isEnd: false) == 1)
    #expect(position.checkpoint == .record(5))
  }

  @Test("leaves out what is handled of the records that were packed under one number")
  func packed() throws {
    var position = position(.record(5, subSequenceNumber: 1))
    let received = position.receive(
      records((5, 0), (5, 1), (5, 2), (6, 0)),
      isCaughtUp: false,
      isEnd: false
    )
    let new = try #require(received)
    #expect(new.map(\.checkpoint) == [.record(5, subSequenceNumber: 2), .record(6)])
    #expect(position.checkpoint == .record(6) && !position.expectsCheckpoint)
  }

  @Test("knows that records are gone when another comes first than that of the checkpoint, or the end")
  func trimmed() {
    var other = position(.record(5))
    #expect(other.count(records((6, 0)), isCaughtUp: true, isEnd: false) == nil)
    var end = position(.record(5))
    #expect(end.count([], isCaughtUp: true, isEnd: true) == nil)
    #expect(other.checkpoint == .record(5) && end.checkpoint == .record(5))
  }

  @Test("waits for the record of the checkpoint over empty pages, until it has caught up without it")
  func empty() {
    var position = position(.record(5))
    #expect(position.count([], isCaughtUp: false, isEnd: false) == 0)
    #expect(position.expectsCheckpoint)
    #expect(position.count([], isCaughtUp: true, isEnd: false) == 0)
    #expect(!position.expectsCheckpoint)
    #expect(position.count(records((6, 0)), isCaughtUp: true, isEnd: false) == 1)
  }

  @Test(
    "needs no record before TRIM_HORIZON or a moment",
    arguments: [Checkpoint.trimHorizon, .atTimestamp(Self.noon)]
  )
  func beginnings(checkpoint: Checkpoint) {
    var position = position(checkpoint)
    #expect(position.count(records((6, 0)), isCaughtUp: true, isEnd: false) == 1)
    #expect(position.count([], isCaughtUp: true, isEnd: true) == 0)
  }
}

extension ReadPosition {
  fileprivate mutating func count(_ records: [Record], isCaughtUp: Bool, isEnd: Bool) -> Int? {
    receive(records, isCaughtUp: isCaughtUp, isEnd: isEnd)?.count
  }
}

@Suite("The pace of polling Kinesis")
struct ReadPaceTests {
  private let start = ContinuousClock.now

  private func instant(_ milliseconds: Int) -> ContinuousClock.Instant {
    start.advanced(by: .milliseconds(milliseconds))
  }

  @Test("is five reads a second while there is more, whenever they were")
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

  @Test("is the poll interval once there is no more, counted from the last read, but not after an error")
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
