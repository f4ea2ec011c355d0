import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkAWS

/// MD5 of "a" is 0cc1…, of "b" 92eb…: the shard is left with the lower half, where "a" belongs.
@Suite("User records that belong to another shard than they are packed in", .sharesMachine)
struct ForeignRecordTests {
  private static let lowerHalf = Shard.HashRange(start: 0, end: UInt128.max >> 1)
  private static let first: SequenceNumber = 1000
  private static let retrievals: [KinesisRetrieval] = [
    .polling, .fanOut(consumerName: "billing"),
  ]

  /// One packed record, whose user records are called by their numbers, and two plain ones, "1" and "2".
  private func reading(_ keys: [String], by retrieval: KinesisRetrieval) async throws -> KinesisReading {
    let reading = try await KinesisReading(retrieval: retrieval)
    var packer = RecordPacker()
    for (number, key) in keys.enumerated() { packer.add(Array("packed \(number)".utf8), key: key) }
    reading.put(data: packer.packed())
    reading.put(1..<3)
    return reading
  }

  /// From here on the source knows which user records do not belong to the shard.
  private func list(_ reading: KinesisReading) async throws {
    reading.list(Self.lowerHalf)
    #expect(try await reading.source.shards().map(\.hashRange) == [Self.lowerHalf])
  }

  private func texts(_ reader: any ShardReader, maximumRecords: Int = 100) async throws -> [String] {
    try await reader.nextPage(maximumRecords: maximumRecords).records.compactMap { record in
      record.data.map { String(decoding: $0, as: UTF8.self) }
    }
  }

  @Test(
    "do not stop the lease when all of the record that was handled last turn out to be of this kind",
    arguments: Self.retrievals
  )
  func allForeign(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["b", "b", "b"], by: retrieval)
    let unfiltered = try await reading.reader().nextPage(maximumRecords: 3).records
    #expect(unfiltered.map(\.subSequenceNumber).prefix(3) == [0, 1, 2])
    try await list(reading)
    for number in UInt64(0)..<3 {
      let reader = try await reading.reader(after: .record(Self.first, subSequenceNumber: number))
      #expect(try await texts(reader) == ["1", "2"])
    }
  }

  @Test(
    "are left out behind the checkpoint in the middle of a record, and only they",
    arguments: Self.retrievals
  )
  func someForeign(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["a", "b", "a", "b"], by: retrieval)
    try await list(reading)
    for (number, rest) in [(0, ["packed 2"]), (1, ["packed 2"]), (2, []), (3, [])] {
      let reader = try await reading.reader(after: .record(Self.first, subSequenceNumber: UInt64(number)))
      #expect(try await texts(reader) == rest + ["1", "2"])
    }
  }

  @Test(
    "keep their places, so that a filtered reader's checkpoint serves an unfiltered one",
    arguments: Self.retrievals
  )
  func unfilteredAgain(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["b", "a", "b", "a"], by: retrieval)
    try await list(reading)
    let handled = try #require(try await reading.reader().nextPage(maximumRecords: 1).records.first)
    #expect(handled.checkpoint == .record(Self.first, subSequenceNumber: 1))
    let other = try await self.reading(["b", "a", "b", "a"], by: retrieval)
    #expect(try await texts(other.reader(after: handled.checkpoint)) == ["packed 2", "packed 3", "1", "2"])
  }

  @Test("may be the first of a shard, wherever its reader begins", arguments: Self.retrievals)
  func firstOfShard(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["b", "b"], by: retrieval)
    try await list(reading)
    for beginning in [Checkpoint.trimHorizon, .atTimestamp(Timestamp(microsecondsSinceEpoch: 0))] {
      let reader = try await reading.reader(after: beginning)
      #expect(try await texts(reader) == ["1", "2"])
    }
  }

  @Test(
    "are not those whose explicit hash key lies in the shard, nor plain records",
    arguments: Self.retrievals
  )
  func explicitlyHashed(retrieval: KinesisRetrieval) async throws {
    let reading = try await KinesisReading(retrieval: retrieval)
    var packer = RecordPacker()
    packer.add(Array("here".utf8), key: "b", explicitHashKey: "0")
    packer.add(Array("elsewhere".utf8), key: "a", explicitHashKey: "\(UInt128.max)")
    reading.put(data: packer.packed())
    reading.put(1..<2)
    try await list(reading)
    #expect(try await texts(reading.reader()) == ["here", "1"])
    let behind = try await reading.reader(after: .record(Self.first, subSequenceNumber: 1))
    #expect(try await texts(behind) == ["1"])
  }

  @Test("are told of, once for a shard, with the reason", arguments: Self.retrievals)
  func log(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["a", "b", "b"], by: retrieval)
    _ = try await texts(reading.reader())
    #expect(!reading.machine.log.withLock { $0 }.contains("left out"))
    try await list(reading)
    for _ in 0..<2 { #expect(try await texts(reading.reader()) == ["packed 0", "1", "2"]) }
    let lines = reading.machine.log.withLock { $0 }.split(separator: "\n").filter { $0.contains("left out") }
    #expect(lines.count == 1)
    #expect(lines.first?.contains(KinesisReading.shardID) == true && lines.first?.contains("1000") == true)
    #expect(lines.first?.contains("do not belong to the shard") == true)
  }
}
