import Testing
import Tidemark
import TidemarkTestKit

@Suite("The in-memory stream")
struct InMemoryStreamTests {
  private let clock = ManualClock()
  private let stream: InMemoryStream

  init() {
    stream = InMemoryStream(shardCount: 2, clock: clock)
  }

  /// A key that the shard takes.
  private func key(of shardID: String) throws -> String {
    try #require((0..<1000).map { "key-\($0)" }.first { stream.shardID(taking: $0) == shardID })
  }

  private func shardIDs() async throws -> [String] {
    try await stream.shards().map(\.id)
  }

  private func numbers(_ page: ShardPage) -> [UInt64?] {
    page.records.map(\.sequenceNumber.uint64Value)
  }

  @Test("spreads keys over all shards, and the shards over all hashes")
  func ranges() async throws {
    for count in [1, 2, 3, 7] {
      let stream = InMemoryStream(shardCount: count)
      let ranges = try await stream.shards().compactMap(\.hashRange)
      #expect(ranges.count == count)
      #expect(ranges.first?.start == 0 && ranges.last?.end == .max)
      for (left, right) in zip(ranges, ranges.dropFirst()) { #expect(left.end + 1 == right.start) }
      #expect(Set((0..<1000).compactMap { stream.shardID(taking: "key-\($0)") }).count == count)
    }
  }

  @Test("the stream reads a shard in order, page by page, and says how far behind the reader is")
  func pages() async throws {
    let shard = try await shardIDs()[0]
    for _ in 1...5 { try stream.put([1], partitionKey: key(of: shard)) }
    clock.advance(by: .seconds(2))
    let reader = try await stream.reader(of: shard, after: .trimHorizon)
    let first = try await reader.nextPage(maximumRecords: 3)
    #expect(numbers(first) == [1, 2, 3])
    #expect(first.millisBehindLatest == 2000)
    let second = try await reader.nextPage(maximumRecords: 3)
    #expect(numbers(second) == [4, 5])
    #expect(second.millisBehindLatest == 0)
    #expect(second.end == nil)
  }

  @Test("the stream opens a reader after any checkpoint")
  func positions() async throws {
    let shard = try await shardIDs()[0]
    let key = try key(of: shard)
    try stream.put([1], partitionKey: key)
    clock.advance(by: .seconds(1))
    try stream.putAggregated([[2], [3]], partitionKey: key)
    stream.close()
    let expected: [(Checkpoint, [UInt8])] = [
      (.trimHorizon, [1, 2, 3]), (.latest, []), (.record(1), [2, 3]), (.record(2), [3]),
      (.record(2, subSequenceNumber: 1), []), (.atTimestamp(Timestamp(millisecondsSinceEpoch: 500)), [2, 3]),
    ]
    for (checkpoint, payloads) in expected {
      let page = try await stream.reader(of: shard, after: checkpoint).nextPage(maximumRecords: 10)
      let read = page.records.flatMap { record -> [UInt8] in
        if case .data(let data) = record.body { Array(data) } else { [] }
      }
      #expect(read == payloads)
      #expect(page.end?.children.isEmpty == true)
    }
  }

  @Test("the stream wakes a reader when a record comes")
  func waiting() async throws {
    let shard = try await shardIDs()[0]
    let reader = try await stream.reader(of: shard, after: .latest)
    async let page = reader.nextPage(maximumRecords: 10)
    while clock.sleeperCount == 0 { await Task.yield() }
    try stream.put([1], partitionKey: key(of: shard))
    #expect(numbers(try await page) == [1])
    #expect(clock.elapsed == .zero)
  }

  @Test("returns an empty page when nothing comes for a while")
  func emptyPage() async throws {
    let reader = try await stream.reader(of: shardIDs()[0], after: .latest)
    async let page = reader.nextPage(maximumRecords: 10)
    while clock.sleeperCount == 0 { await Task.yield() }
    clock.advance(by: .seconds(1))
    #expect(try await page.records.isEmpty)
  }

  @Test("the stream lets a cancelled reader go")
  func cancellation() async throws {
    let reader = try await stream.reader(of: shardIDs()[0], after: .latest)
    await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { _ = try await reader.nextPage(maximumRecords: 10) }
      while clock.sleeperCount == 0 { await Task.yield() }
      group.cancelAll()
      await #expect(throws: CancellationError.self) { try await group.next() }
    }
  }

  @Test("splits a shard into children that share its range and follow its records")
  func split() async throws {
    let parent = try #require(try await stream.shards().first)
    let last = try stream.put([1], partitionKey: key(of: parent.id))
    let children = stream.split(parent.id)
    #expect(children.count == 2)
    #expect(children.map(\.parentIDs) == [[parent.id], [parent.id]])
    #expect(children[0].hashRange?.start == parent.hashRange?.start)
    #expect(children[1].hashRange?.end == parent.hashRange?.end)
    let reader = try await stream.reader(of: parent.id, after: .trimHorizon)
    let page = try await reader.nextPage(maximumRecords: 10)
    #expect(page.end?.children.map(\.id) == children.map(\.id))
    let record = try stream.put([2], partitionKey: key(of: children[0].id))
    #expect(record.sequenceNumber > last.sequenceNumber)
    #expect(stream.split(parent.id).isEmpty)
  }

  @Test("merges neighbours, and nothing else")
  func merge() async throws {
    let stream = InMemoryStream(shardCount: 3)
    let shards = try await stream.shards()
    #expect(stream.merge(shards[0].id, shards[2].id) == nil)
    let child = try #require(stream.merge(shards[1].id, shards[0].id))
    #expect(Set(child.parentIDs) == [shards[0].id, shards[1].id])
    #expect(child.hashRange == .init(start: 0, end: try #require(shards[1].hashRange).end))
    #expect(try await stream.shards().filter(\.isOpen).map(\.id) == [shards[2].id, child.id])
    #expect(stream.merge(shards[0].id, child.id) == nil)
  }

  @Test("the stream tells a reader whose records were trimmed, but never one at the horizon")
  func trim() async throws {
    let shard = try await shardIDs()[0]
    let key = try key(of: shard)
    let open = try await stream.reader(of: shard, after: .trimHorizon)
    for _ in 1...3 { try stream.put([1], partitionKey: key) }
    stream.trim(shard, through: 2)
    let late = await #expect(throws: TidemarkError.self) { try await open.nextPage(maximumRecords: 1) }
    #expect(late?.code == .recordsTrimmed)
    let error = await #expect(throws: TidemarkError.self) {
      try await stream.reader(of: shard, after: .record(1))
    }
    #expect(error?.code == .recordsTrimmed)
    for checkpoint in [Checkpoint.trimHorizon, .record(2)] {
      let page = try await stream.reader(of: shard, after: checkpoint).nextPage(maximumRecords: 10)
      #expect(numbers(page) == [3])
    }
  }

  @Test("the stream lists a removed shard no more and tells its readers")
  func remove() async throws {
    let shard = try await shardIDs()[0]
    let reader = try await stream.reader(of: shard, after: .latest)
    stream.rotate(shard)
    stream.remove(shard)
    #expect(try await !shardIDs().contains(shard))
    let error = await #expect(throws: TidemarkError.self) { try await reader.nextPage(maximumRecords: 1) }
    #expect(error?.code == .shardNotFound)
  }

  @Test("the stream takes no records once it is closed")
  func close() throws {
    stream.close()
    let error = #expect(throws: TidemarkError.self) { try stream.put([1], partitionKey: "key") }
    #expect(error?.code == .streamDisabled)
  }

  @Test("the stream throws what it should throw, and then goes on")
  func faults() async throws {
    let shard = try await shardIDs()[0]
    try stream.put([1], partitionKey: key(of: shard))
    let reader = try await stream.reader(of: shard, after: .trimHorizon)
    stream.injectFaults { call in
      if call == .nextPage(shardID: shard) { throw TidemarkError(.throttled, "Slower.") }
    }
    let error = await #expect(throws: TidemarkError.self) { try await reader.nextPage(maximumRecords: 1) }
    #expect(error?.code == .throttled)
    stream.injectFaults(nil)
    #expect(numbers(try await reader.nextPage(maximumRecords: 1)) == [1])
  }
}
