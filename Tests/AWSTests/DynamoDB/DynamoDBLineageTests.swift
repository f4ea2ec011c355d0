#if AWS
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("The lineage of a table's streams")
struct DynamoDBLineageTests {
  private typealias Listed = DescribedStream.ListedShard

  private func shard(_ id: String, of parent: String? = nil, from start: String = "1", to end: String? = nil)
    -> Listed
  {
    Listed(
      ShardId: id,
      ParentShardId: parent,
      SequenceNumberRange: .init(StartingSequenceNumber: start, EndingSequenceNumber: end)
    )
  }

  private func stream(_ label: String, _ status: String = "ENABLED", _ shards: Listed...) -> DescribedStream {
    DescribedStream(StreamLabel: label, StreamStatus: status, Shards: shards)
  }

  private func parents(_ lineage: DynamoDBLineage) -> [String: [String]] {
    Dictionary(uniqueKeysWithValues: lineage.shards.map { ($0.id, $0.parentIDs) })
  }

  @Test("the lineage begins the next stream with the leaves of the one before as parents")
  func succession() {
    let lineage = DynamoDBLineage(
      [
        stream(
          "1",
          "DISABLED",
          shard("a", to: "9"),
          shard("b", of: "a", to: "19"),
          shard("c", of: "a", to: "29")
        ),
        stream("2", "ENABLED", shard("a"), shard("d", of: "a")),
      ],
      isOfTable: true
    )
    #expect(
      parents(lineage) == [
        "1/a": [], "1/b": ["1/a"], "1/c": ["1/a"], "2/a": ["1/b", "1/c"], "2/d": ["2/a"],
      ]
    )
    #expect(lineage.isEnabled)
    #expect(
      lineage.children(of: "1/b").map(\.id) == ["2/a"] && lineage.children(of: "2/a").map(\.id) == ["2/d"]
    )
  }

  @Test("the lineage goes on over streams without shards, which one has while it is being enabled")
  func emptyStream() {
    let lineage = DynamoDBLineage(
      [
        stream("1", "DISABLED", shard("a", to: "9")), stream("2", "DISABLED"),
        stream("3", "ENABLING", shard("b")),
      ],
      isOfTable: true
    )
    #expect(parents(lineage) == ["1/a": [], "3/b": ["1/a"]])
    #expect(lineage.isEnabled)
    #expect(DynamoDBLineage([stream("1", "ENABLING")], isOfTable: true).shards.isEmpty)
  }

  @Test("the lineage is over when the newest stream is disabled, or when there is none")
  func disabled() {
    for status in ["DISABLED", "DISABLING"] {
      #expect(!DynamoDBLineage([stream("1"), stream("2", status)], isOfTable: true).isEnabled)
    }
    #expect(!DynamoDBLineage([], isOfTable: true).isEnabled)
  }

  @Test("the lineage names a parent that is listed no more, which makes its child a first shard")
  func missingParent() {
    let lineage = DynamoDBLineage(
      [
        stream("1", "DISABLED", shard("a", to: "9")),
        stream("2", "ENABLED", shard("c", of: "gone"), shard("d", of: "")),
      ],
      isOfTable: true
    )
    #expect(parents(lineage) == ["1/a": [], "2/c": ["2/gone", "1/a"], "2/d": ["1/a"]])
  }

  @Test("the lineage leaves a parent open that was listed before it was closed and its child after that")
  func openParent() {
    let lineage = DynamoDBLineage([stream("1", "ENABLED", shard("a"), shard("b", of: "a"))], isOfTable: true)
    #expect(lineage.shards.map(\.isOpen) == [true, true] && lineage.children(of: "1/a").map(\.id) == ["1/b"])
  }

  @Test("the lineage has the ids of a single stream as the service has them, and numbers as numbers")
  func singleStream() {
    let listed = shard("shardId-1", from: "000100", to: "99000000000000000000000")
    let lineage = DynamoDBLineage([stream("1", "DISABLED", listed)], isOfTable: false)
    #expect(
      lineage.shards == [
        Shard(
          id: "shardId-1",
          startingSequenceNumber: SequenceNumber("100"),
          endingSequenceNumber: SequenceNumber("99000000000000000000000")
        )
      ]
    )
  }

  @Test("the lineage takes a shard's id apart into the label of its stream and the id that the service knows")
  func ids() {
    let id = "2026-06-01T12:00:00.000/shardId-00000001414562045508-2bac9cd2"
    #expect(DynamoDBLineage.label(ofShard: id) == "2026-06-01T12:00:00.000")
    #expect(DynamoDBLineage.shardID(inStream: id) == "shardId-00000001414562045508-2bac9cd2")
    #expect(DynamoDBLineage.label(ofShard: "shardId-1") == nil)
    #expect(DynamoDBLineage.shardID(inStream: "shardId-1") == "shardId-1")
  }
}
#endif
