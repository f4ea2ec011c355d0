#if AWS
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// The shard has the lower half of the hash keys. MD5 of "a" is 0cc1…, "k0" 28d6…, "k2" 6162…; of "b" 92eb…, "k1" b637…,
/// "k4" c90b….
@Suite("User records that belong to another shard than they are packed in", .sharesMachine)
struct ForeignRecordTests {
  private static let lowerHalf = Shard.HashRange(start: 0, end: UInt128.max >> 1)
  private static let threeQuarters = Shard.HashRange(start: 0, end: UInt128.max >> 2 * 3)
  private static let first: SequenceNumber = 1000
  private static let retrievals: [KinesisRetrieval] = [
    .polling, .fanOut(consumerName: "billing"),
  ]

  /// One packed record, whose user records are called by their numbers, and two plain ones, "1" and "2".
  ///
  /// - Parameter key: the packed record's own, "a" as of the Kinesis Producer Library.
  private func reading(
    _ keys: [String],
    under key: String = "a",
    by retrieval: KinesisRetrieval
  ) async throws -> KinesisReading {
    let reading = try await KinesisReading(retrieval: retrieval)
    reading.put(data: packed(keys), key: key)
    reading.put(1..<3)
    return reading
  }

  private func packed(_ keys: [String]) -> [UInt8] {
    var packer = RecordPacker()
    for (number, key) in keys.enumerated() { packer.add(Array("packed \(number)".utf8), key: key) }
    return packer.packed()
  }

  /// From here on the source knows the shard's hash keys.
  private func list(_ reading: KinesisReading, parent: Shard.HashRange? = .all) async throws {
    reading.list(Self.lowerHalf, parent: parent)
    #expect(try await reading.source.shards().first?.hashRange == Self.lowerHalf)
  }

  private func texts(_ reader: any ShardReader, maximumRecords: Int = 100) async throws -> [String] {
    try await reader.nextPage(maximumRecords: maximumRecords).records.compactMap { record in
      record.data.map { String(decoding: $0, as: UTF8.self) }
    }
  }

  /// The log's lines that tell of them.
  private func told(_ reading: KinesisReading) -> [Substring] {
    reading.machine.log.withLock { $0 }.split(separator: "\n").filter { $0.contains("do not belong") }
  }

  @Test(
    "foreign user records are left out when the Kinesis Producer Library packed them for a shard that was split, and are reported",
    arguments: retrievals
  )
  func split(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["k0", "b", "k2", "k4"], by: retrieval)
    try await list(reading)
    #expect(try await texts(reading.reader()) == ["packed 0", "packed 2", "1", "2"])
    let told = told(reading)
    #expect(told.count == 1 && told.first?.contains("are left out") == true)
    for fact in [KinesisReading.shardID, "1000", "count: 2"] {
      #expect(told.first?.replacing("\"", with: "").contains(fact) == true)
    }
  }

  /// A packed record that nobody sends again.
  struct Packed: Sendable {
    var keys: [String]
    var key: String
    var parent: Shard.HashRange?
    var foreignCount: Int
  }

  @Test(
    "foreign user records are delivered when it may be that nobody sends them again, and are reported",
    arguments: retrievals,
    [
      // aws-kinesis-agg takes the first key for all; others take any.
      Packed(keys: ["k0", "k1", "k4"], key: "k0", parent: nil, foreignCount: 2),
      Packed(keys: ["k0", "k1", "k4"], key: "k0", parent: .all, foreignCount: 2),
      Packed(keys: ["b", "k0"], key: "b", parent: .all, foreignCount: 1),
      Packed(keys: ["a", "b"], key: "a", parent: .all, foreignCount: 1),
      Packed(keys: ["k0", "b", "a"], key: "a", parent: .all, foreignCount: 1),
      // A copy of what the Kinesis Producer Library has put into another stream.
      Packed(keys: ["b", "k0"], key: "a", parent: .all, foreignCount: 1),
      Packed(keys: ["b", "b", "b"], key: "a", parent: .all, foreignCount: 3),
      Packed(keys: ["k0", "k1", "k4"], key: "a", parent: nil, foreignCount: 2),
      Packed(keys: ["k0", "k1", "k4"], key: "a", parent: threeQuarters, foreignCount: 2),
    ]
  )
  func otherProducers(retrieval: KinesisRetrieval, packed: Packed) async throws {
    let reading = try await reading(packed.keys, under: packed.key, by: retrieval)
    try await list(reading, parent: packed.parent)
    let all = packed.keys.indices.map { "packed \($0)" }
    #expect(try await texts(reading.reader()) == all + ["1", "2"])
    for number in packed.keys.indices {
      let reader = try await reading.reader(after: .record(Self.first, subSequenceNumber: UInt64(number)))
      #expect(try await texts(reader) == all[(number + 1)...] + ["1", "2"])
    }
    let told = told(reading)
    #expect(told.count == 1 && told.first?.contains("are delivered") == true)
    #expect(told.first?.replacing("\"", with: "").contains("count: \(packed.foreignCount)") == true)
  }

  @Test(
    "foreign user records are left out after the checkpoint of an owner that did not know the shard's hash keys",
    arguments: retrievals
  )
  func takeover(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["k0", "b", "k2", "b"], by: retrieval)
    let unfiltered = try await reading.reader().nextPage(maximumRecords: 4).records
    #expect(unfiltered.map(\.subSequenceNumber).prefix(4) == [0, 1, 2, 3])
    #expect(told(reading).isEmpty)
    try await list(reading)
    for (number, rest) in [(0, ["packed 2"]), (1, ["packed 2"]), (2, []), (3, [])] {
      let reader = try await reading.reader(after: .record(Self.first, subSequenceNumber: UInt64(number)))
      #expect(try await texts(reader) == rest + ["1", "2"])
    }
  }

  @Test(
    "keep their places, so that a filtered reader's checkpoint serves an unfiltered one",
    arguments: retrievals
  )
  func unfilteredAgain(retrieval: KinesisRetrieval) async throws {
    let keys = ["k0", "b", "k2", "b", "k0"]
    let reading = try await reading(keys, by: retrieval)
    try await list(reading)
    let handled = try await reading.reader().nextPage(maximumRecords: 2).records
    #expect(handled.prefix(2).map(\.subSequenceNumber) == [0, 2])
    let other = try await self.reading(keys, by: retrieval)
    let checkpoint = Checkpoint.record(Self.first, subSequenceNumber: 2)
    #expect(try await texts(other.reader(after: checkpoint)) == ["packed 3", "packed 4", "1", "2"])
  }

  @Test(
    "foreign user records may be left out of a shard's first record, wherever its reader begins",
    arguments: retrievals
  )
  func firstOfShard(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["k0", "b"], by: retrieval)
    try await list(reading)
    for beginning in [Checkpoint.trimHorizon, .atTimestamp(Timestamp(microsecondsSinceEpoch: 0))] {
      let reader = try await reading.reader(after: beginning)
      #expect(try await texts(reader) == ["packed 0", "1", "2"])
    }
  }

  @Test(
    "foreign user records are told apart by their explicit hash keys where they have some",
    arguments: retrievals
  )
  func explicitlyHashed(retrieval: KinesisRetrieval) async throws {
    let reading = try await KinesisReading(retrieval: retrieval)
    var packer = RecordPacker()
    packer.add(Array("here".utf8), key: "b", explicitHashKey: "0")
    packer.add(Array("elsewhere".utf8), key: "k0", explicitHashKey: "\(UInt128.max)")
    packer.add(Array("here, too".utf8), key: "k2")
    reading.put(data: packer.packed(), key: "a")
    reading.put(1..<2)
    try await list(reading)
    #expect(try await texts(reading.reader()) == ["here", "here, too", "1"])
    let behind = try await reading.reader(after: .record(Self.first, subSequenceNumber: 1))
    #expect(try await texts(behind) == ["here, too", "1"])
  }

  @Test(
    "foreign user records are reported at once, and then once an hour with how many there were since, those that are left out apart from others",
    arguments: retrievals
  )
  func log(retrieval: KinesisRetrieval) async throws {
    let reading = try await reading(["k0", "b", "b"], by: retrieval)
    reading.put(data: packed(["k0", "b"]), key: "k0")
    let all = ["packed 0", "1", "2", "packed 0", "packed 1"]
    try await list(reading)
    for _ in 0..<3 { #expect(try await texts(reading.reader()) == all) }
    #expect(told(reading).count == 2)
    reading.machine.clock.advance(by: .seconds(3600))
    #expect(try await texts(reading.reader()) == all)
    let told = told(reading).map { $0.replacing("\"", with: "") }
    // Twice meanwhile, and once now.
    for (fate, number, counts) in [("left out", "1000", [2, 6]), ("delivered", "1003", [1, 3])] {
      let lines = told.filter { $0.contains("are \(fate)") && $0.contains("number: \(number)") }
      #expect(lines.count == 2)
      for (line, count) in zip(lines, counts) { #expect(line.contains("count: \(count)")) }
    }
  }
}

@Suite("The hash keys of a shard's ancestors")
struct ShardHashKeysTests {
  @Test(
    "the hash keys of a shard's ancestors are those of all listed shards that it comes from by splits and merges, each once"
  )
  func ancestors() {
    func shard(_ id: String, _ parents: [String], _ range: ClosedRange<UInt128>?) -> Shard {
      Shard(
        id: id,
        parentIDs: parents,
        hashRange: range.map { Shard.HashRange(start: $0.lowerBound, end: $0.upperBound) }
      )
    }
    let shards = [
      shard("a", ["trimmed"], 0...9), shard("b", [], 10...19), shard("c", ["a", "b"], 0...19),
      shard("d", ["c"], 0...4), shard("e", ["c"], 5...19), shard("f", ["d", "e"], 0...19),
      shard("g", ["f"], 0...1),
      shard("h", ["c"], nil),
    ]
    let listing = Dictionary(uniqueKeysWithValues: shards.map { ($0.id, $0) })
    func starts(_ id: String) -> [String]? {
      ShardHashKeys(of: id, in: listing)?.ancestors.map { "\($0.start)…\($0.end)" }.sorted()
    }
    #expect(starts("b") == [])
    #expect(starts("a") == [])
    #expect(starts("d") == ["0…19", "0…9", "10…19"])
    #expect(starts("g") == ["0…19", "0…19", "0…4", "0…9", "10…19", "5…19"])
    #expect(starts("h") == nil && starts("i") == nil)
  }
}
#endif
