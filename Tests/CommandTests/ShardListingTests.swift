import Synchronization
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
      ("dynamodb:Orders", .dynamoDB("Orders")), ("kinesis:clicks", .kinesis("clicks")),
      (
        "dynamodb:arn:aws:dynamodb:eu-central-1:123456789012:table/Orders",
        .dynamoDB("arn:aws:dynamodb:eu-central-1:123456789012:table/Orders")
      ),
      ("dynamodb:", nil), ("kinesis:", nil), ("postgres:", nil), ("", nil),
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

  @Test("All records are read of a source that has nothing to do beside its readers, children last")
  func reading() async throws {
    var pages: [String] = []
    try await StreamReading(TwoShards(), from: .trimHorizon, follow: true).forEachPage { shard, records in
      pages.append("\(shard): \(records.map(\.partitionKey))")
      return true
    }
    #expect(pages == [#"a: ["of a"]"#, #"b: ["of b"]"#])
  }

  @Test(
    "Reading that follows nothing ends when an open shard has no more, not at a page that happens to be empty",
    arguments: [
      ([(2, 0), (0, 0), (9, 0)], 1, 2),
      // The source says that there is more.
      ([(0, 500), (1, 90), (0, 80), (2, 0), (0, 0), (9, 0)], 1, 3),
      // It cannot say.
      ([(0, 0), (0, 0), (1, 0), (0, 0), (0, 0), (2, 0), (0, 0), (0, 0), (0, 0), (9, 0)], 3, 3),
      ([(0, 0), (0, 500), (0, 0), (0, 0), (9, 0)], 2, 0),
    ] as [([(count: Int, behind: Int64)], Int, Int)]
  )
  func notFollowing(pages: [(count: Int, behind: Int64)], emptyPages: Int, count: Int) async throws {
    let stream = ScriptedStream(pages, isClosed: false)
    var read = 0
    try await StreamReading(stream, from: .trimHorizon, follow: false, emptyPagesAtTip: emptyPages)
      .forEachPage { _, records in
        read += records.count
        return true
      }
    #expect(read == count)
  }

  @Test("Reading that follows nothing reads a closed shard to its end, over all empty pages")
  func notFollowingClosed() async throws {
    let stream = ScriptedStream([(1, 0), (0, 0), (0, 0), (2, 0)], isClosed: true)
    var read = 0
    try await StreamReading(stream, from: .trimHorizon, follow: false).forEachPage { _, records in
      read += records.count
      return true
    }
    #expect(read == 3)
  }
}

/// A shard whose pages are these; it ends with them if it is closed.
private final class ScriptedStream: StreamSource, ShardReader {
  private let pages: Mutex<[(count: Int, behind: Int64)]>
  private let isClosed: Bool

  init(_ pages: [(count: Int, behind: Int64)], isClosed: Bool) {
    self.pages = Mutex(pages)
    self.isClosed = isClosed
  }

  var origin: Checkpoint { .trimHorizon }
  func streamName() async throws -> String { "scripted" }
  func shards() async throws -> [Shard] { [Shard(id: "a", endingSequenceNumber: isClosed ? 9 : nil)] }
  func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader { self }

  func nextPage(maximumRecords: Int) async throws -> ShardPage {
    let (page, isLast) = pages.withLock { pages in (pages.removeFirst(), pages.isEmpty) }
    let record = Record(
      sequenceNumber: 1,
      partitionKey: "k",
      approximateCreationTime: Timestamp(microsecondsSinceEpoch: 0),
      body: .data([])
    )
    return ShardPage(
      records: Array(repeating: record, count: page.count),
      millisBehindLatest: page.behind,
      readAt: Timestamp(microsecondsSinceEpoch: 1_000_000),
      end: isClosed && isLast ? .init(children: []) : nil
    )
  }
}

/// A shard and its child, with a record each.
private struct TwoShards: StreamSource {
  struct Reader: ShardReader {
    var shardID: String
    var origin: Checkpoint { .trimHorizon }

    func nextPage(maximumRecords: Int) async throws -> ShardPage {
      let record = Record(
        sequenceNumber: 1,
        partitionKey: "of \(shardID)",
        approximateCreationTime: Timestamp(microsecondsSinceEpoch: 0),
        body: .data([])
      )
      return ShardPage(records: [record], end: .init(children: []))
    }
  }

  func streamName() async throws -> String { "two" }

  func shards() async throws -> [Shard] {
    [
      Shard(id: "a", endingSequenceNumber: 1), Shard(id: "b", parentIDs: ["a"], endingSequenceNumber: 1),
    ]
  }

  func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
    Reader(shardID: shardID)
  }
}
