import Testing
import Tidemark

@Suite("Sequence numbers and checkpoints")
struct SequenceNumberTests {
  @Test("numbers of any length compare as numbers, padded or not")
  func order() throws {
    let ascending = [
      "0", "9", "10", "099", "100", "18446744073709551615", "18446744073709551616",
      "20500000000000000910398", "820400000000000001192334", "1683700000000000001135967",
    ]
    let numbers = try ascending.map { try #require(SequenceNumber($0)) }
    for (left, right) in zip(numbers, numbers.dropFirst()) {
      #expect(left < right)
      #expect(!(right < left))
    }
  }

  @Test("padding changes neither equality nor hash, and the source's text is kept")
  func padding() throws {
    let padded = try #require(SequenceNumber("000000000000000075450"))
    #expect(padded == 75450)
    #expect(Set([padded, 75450]).count == 1)
    #expect(padded.description == "000000000000000075450")
    #expect(padded.uint64Value == 75450)
  }

  @Test("what is not decimal digits is no sequence number", arguments: ["", "-1", "1 ", "1a", "٣", "+1"])
  func refused(_ text: String) {
    #expect(SequenceNumber(text) == nil)
  }

  @Test("checkpoints are ordered as the KCL orders them, but for LATEST, which any place is an advance on")
  func checkpointOrder() {
    let ascending: [Checkpoint] = [
      .latest, .atTimestamp(Timestamp(microsecondsSinceEpoch: 9)), .trimHorizon, .record(1),
      .record(1, subSequenceNumber: 1), .record(5), .record(10), .record(10, subSequenceNumber: 7),
      .record(11),
      .record(100), .shardEnd,
    ]
    for (left, right) in zip(ascending, ascending.dropFirst()) {
      #expect(left < right)
    }
  }

  @Test("a checkpoint is read back from its text")
  func text() {
    let all: [Checkpoint] = [
      .atTimestamp(Timestamp(microsecondsSinceEpoch: 1_700_000_000_123_456)), .trimHorizon, .latest,
      .record(42, subSequenceNumber: 3), .shardEnd,
    ]
    for checkpoint in all {
      #expect(
        Checkpoint(text: checkpoint.text, subSequenceNumber: checkpoint.subSequenceNumber) == checkpoint
      )
    }
    #expect(Checkpoint(text: "TRIM") == nil)
    #expect(Checkpoint(text: "AT_TIMESTAMP:x") == nil)
  }
}
