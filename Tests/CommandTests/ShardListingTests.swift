import TestSupport
import Testing
import Tidemark

@testable import TidemarkCommand

@Suite("What stream commands say of any source", .sharesMachine)
struct ShardListingTests {
  @Test(
    "A stream is PostgreSQL's unless it says where it is",
    arguments: [
      ("orders", .postgres("orders")), ("postgres:orders", .postgres("orders")),
      ("orders/2026-01-02T03:04:05", .postgres("orders/2026-01-02T03:04:05")),
      ("dynamodb:Orders", .dynamoDB("Orders")),
      (
        "dynamodb:arn:aws:dynamodb:eu-central-1:123456789012:table/Orders",
        .dynamoDB("arn:aws:dynamodb:eu-central-1:123456789012:table/Orders")
      ),
      ("dynamodb:", nil), ("postgres:", nil), ("", nil),
    ] as [(String, StreamLocator?)]
  )
  func locators(text: String, locator: StreamLocator?) {
    #expect(StreamLocator(argument: text) == locator)
  }

  @Test("Children stand beneath their parents, and the child of a merge names both")
  func tree() {
    let listing = ShardListing(
      name: "orders",
      shards: [
        Shard(id: "a", endingSequenceNumber: 9), Shard(id: "b", parentIDs: ["a"], endingSequenceNumber: 19),
        Shard(id: "c", parentIDs: ["b"], endingSequenceNumber: 29),
        Shard(id: "d", parentIDs: ["b"], endingSequenceNumber: 29),
        Shard(id: "e", parentIDs: ["c", "d"]), Shard(id: "f", parentIDs: ["gone"]),
      ]
    )
    let lines = listing.report.split(separator: "\n").map(String.init)
    #expect(lines.contains { $0.hasSuffix("2 open, 4 closed") })
    let tree = lines.drop { !$0.hasPrefix("SHARD ") }.dropFirst()
    #expect(tree.map { $0.prefix { $0 == " " }.count } == [0, 0, 2, 2, 2, 0])
    #expect(tree.map { $0.split(separator: " ")[0] } == ["a", "b", "c", "e", "d", "f"])
    #expect(
      tree.map { $0.split(separator: " ")[1] } == ["closed", "closed", "closed", "open", "closed", "open"]
    )
    #expect(tree.contains { $0.hasSuffix("c, d") })
  }
}
