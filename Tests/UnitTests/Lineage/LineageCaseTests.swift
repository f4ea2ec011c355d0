import Foundation
import Testing
import Tidemark
import TidemarkTestKit

/// Cases over many shard graphs. `TIDEMARK_LINEAGE_CASES` names another file of the same shape.
@Suite("Lineage cases")
struct LineageCaseTests {
  @Test("every case starts reading where its file says", arguments: try LineageCases.load().cases)
  func everyCase(_ testCase: LineageCases.Case) throws {
    let shards = try testCase.shards(in: LineageCases.load())
    #expect(starts(testCase, shards: shards) == testCase.expectStart)
  }

  @Test("the order of the listing changes nothing", arguments: try LineageCases.load().cases)
  func order(_ testCase: LineageCases.Case) throws {
    let shards = try testCase.shards(in: LineageCases.load())
    #expect(starts(testCase, shards: shards.reversed()) == testCase.expectStart)
  }

  private func starts(_ testCase: LineageCases.Case, shards: [Shard]) -> [String: String] {
    let leases = ShardSync.missingLeases(
      shards: shards,
      leases: testCase.leased.map { Lease(shardID: $0, checkpoint: .trimHorizon) },
      position: testCase.initialPosition
    )
    return Dictionary(
      uniqueKeysWithValues: leases.map {
        ($0.shardID, String($0.checkpoint.text.prefix { $0 != ":" }))
      }
    )
  }
}

/// The file's shape.
struct LineageCases: Decodable {
  struct ListedShard: Decodable {
    var id: String
    var parent: String?
    var adjacentParent: String?
    var startSeq: String
    var endSeq: String?
  }

  struct Case: Decodable, CustomTestStringConvertible {
    var id: String
    var variant: String
    var graph: String
    var position: String
    var leased: [String]
    var expectStart: [String: String]

    var testDescription: String { id }

    /// Where a source lists only what is alive at a timestamp, the graphs' sequence numbers serve as the time,
    /// and the case's name ends with the timestamp.
    private var timestamp: Int64? {
      guard variant == "kinesis-empty-table", position == "AT_TIMESTAMP" else { return nil }
      return id.split(separator: "-").last.flatMap { Int64($0) }
    }

    var initialPosition: InitialPosition {
      switch position {
      case "LATEST": .latest
      case "AT_TIMESTAMP": .atTimestamp(Timestamp(microsecondsSinceEpoch: timestamp ?? 0))
      default: .trimHorizon
      }
    }

    func shards(in file: LineageCases) throws -> [Shard] {
      try #require(file.graphs[graph]).map { listed in
        Shard(
          id: listed.id,
          parentIDs: [listed.parent, listed.adjacentParent].compactMap { $0 },
          startingSequenceNumber: SequenceNumber(listed.startSeq),
          endingSequenceNumber: listed.endSeq.flatMap { SequenceNumber($0) },
          closedAt: timestamp == nil
            ? nil : listed.endSeq.flatMap { Int64($0) }.map { Timestamp(microsecondsSinceEpoch: $0) }
        )
      }
    }
  }

  var graphs: [String: [ListedShard]]
  var cases: [Case]

  static func load() throws -> LineageCases {
    let path = ProcessInfo.processInfo.environment["TIDEMARK_LINEAGE_CASES"]
    let bundled = Bundle.module.url(
      forResource: "lineage-cases",
      withExtension: "json",
      subdirectory: "Fixtures"
    )
    let url = try #require(path.map { URL(fileURLWithPath: $0) } ?? bundled)
    return try JSONDecoder().decode(LineageCases.self, from: Data(contentsOf: url))
  }
}
