#if AWS
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("DynamoDB Streams", .sharesMachine)
struct DynamoDBStreamsTests {
  @Test(
    "a shard is read from its beginning to its end, with records on its last page, and names its children"
  )
  func wholeShard() async throws {
    let reading = try await DynamoDBReading(.init(recordsPerShard: 7, hasEmptyPages: true))
    reading.put(0..<7)
    let shard = try await reading.shard()
    let (values, end) = try await reading.source.reader(of: shard.id, after: .trimHorizon).values()
    #expect(values == Array(0..<7))
    let children = try await reading.source.shards().filter { $0.parentIDs == [shard.id] }
    #expect(try #require(end).children == children && children.count == 1)
    #expect(reading.server.calls("DescribeStream") < 6)
  }

  @Test("a record has everything that the service says of it")
  func fields() async throws {
    let reading = try await DynamoDBReading()
    reading.fake.change { table in
      table.put("a", 1)
      table.put("a", 1)
      table.put("a", 2)
      table.delete("a", isExpired: true)
    }
    let reader = try await reading.source.reader(of: reading.shard().id, after: .trimHorizon)
    let records = try await reader.nextPage(maximumRecords: 10).records
    #expect(records.map(\.change?.eventName) == [.insert, .modify, .remove])
    let last = try #require(records.last?.change)
    #expect(last.userIdentity == UserIdentity(type: "Service", principalID: "dynamodb.amazonaws.com"))
    #expect(last.newImage == nil && last.viewType == .newAndOldImages)
    #expect(try last.oldImage?.attributeValues() == ["id": .s("a"), "value": .n("2")])
    #expect(try last.keys(as: [String: String].self) == ["id": "a"])
    #expect(records[0].change?.userIdentity == nil && records[0].sizeInBytes == 40)
    #expect(records[0].partitionKey == #"{"id":{"S":"a"}}"# && records[0].eventID.count == 32)
    #expect(records[0].approximateCreationTime == reading.machine.time.withLock { $0 })
    #expect(records.allSatisfy { (21...40).contains($0.sequenceNumber.description.count) })
    #expect(records[0].sequenceNumber < records[1].sequenceNumber)
  }

  @Test("a reader begins after any record, whose number goes back to the service as it came")
  func after() async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<9)
    let shard = try await reading.shard()
    let page = try await reading.source.reader(of: shard.id, after: .trimHorizon).nextPage(
      maximumRecords: 100
    )
    for (index, record) in page.records.dropLast().enumerated() {
      let text = try #require(Checkpoint(text: record.checkpoint.text))
      let next = try await reading.source.reader(of: shard.id, after: text).nextPage(maximumRecords: 1)
      #expect(try next.records.map { try $0.value } == [index + 1])
    }
  }

  @Test("an expired iterator goes on after the last record")
  func expired() async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<4)
    let reader = try await reading.source.reader(of: reading.shard().id, after: .trimHorizon)
    #expect(try await reader.values(3).values == [0, 1, 2])
    reading.wait(.seconds(16 * 60))
    #expect(try await reader.values(1).values == [3])
    #expect(reading.iteratorTypes() == ["TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER"])
  }

  @Test("LATEST is asked for once: whoever goes on from there misses nothing, and gets nothing from before")
  func latest() async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<4)
    let shard = try await reading.shard().id
    reading.wait(.seconds(60))
    let reader = try await reading.source.reader(of: shard, after: .latest)
    reading.wait(.seconds(60))
    reading.put(4..<6)
    reading.wait(.seconds(16 * 60))
    #expect(try await reader.values(2).values == [4, 5])
    #expect(try await reading.source.reader(of: shard, after: reader.origin).values(2).values == [4, 5])
    #expect(reading.iteratorTypes() == ["LATEST", "TRIM_HORIZON", "TRIM_HORIZON"])
  }

  @Test("a moment is a place, though the service has none")
  func atTimestamp() async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<4)
    reading.wait(.seconds(60))
    let time = reading.machine.time.withLock { $0 }
    reading.put(4..<6)
    let reader = try await reading.source.reader(of: reading.shard().id, after: .atTimestamp(time))
    #expect(try await reader.values(2).values == [4, 5])
  }

  @Test("records that were trimmed are an error, and so is a shard that is gone; TRIM_HORIZON is neither")
  func trimmed() async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<3)
    let shard = try await reading.shard().id
    let reader = try await reading.source.reader(of: shard, after: .trimHorizon)
    let oldest = try await reading.source.reader(of: shard, after: .trimHorizon)
    let first = try #require(try await reader.nextPage(maximumRecords: 1).records.first)
    reading.wait(.seconds(25 * 3600))
    reading.put(3..<4)
    reading.fake.change { $0.trim() }
    await #expect(throws: TidemarkError.self) { try await reader.nextPage(maximumRecords: 1) }
    let error = try await #require(throws: TidemarkError.self) {
      try await reading.source.reader(of: shard, after: first.checkpoint)
    }
    #expect(error.code == .recordsTrimmed)
    #expect(try await oldest.values(1).values == [3])
    reading.fake.change { $0.rotateAll() }
    reading.wait(.seconds(25 * 3600))
    reading.fake.change { $0.trim() }
    let gone = try await #require(throws: TidemarkError.self) { try await oldest.values() }
    #expect(gone.code == .shardNotFound)
  }

  @Test(
    "children are found however an endpoint takes the filter, and when they are listed late",
    arguments: [FakeDynamoDBStreams.ChildFilter.heeded, .ignored, .refused],
    [0, 3]
  )
  func children(filter: FakeDynamoDBStreams.ChildFilter, late: Int) async throws {
    let reading = try await DynamoDBReading(
      .init(recordsPerShard: 5, shardsPerPage: 3, childFilter: filter, callsWithoutChildren: late)
    )
    reading.put(0..<4)
    let shard = try await reading.shard().id
    reading.put(4..<5)
    let (values, end) = try await reading.source.reader(of: shard, after: .trimHorizon).values()
    #expect(values == Array(0..<5))
    #expect(try #require(end).children.map(\.parentIDs) == [[shard]])
  }

  @Test("shards that rotate and split while they are listed are all there in the end, each once")
  func paging() async throws {
    let reading = try await DynamoDBReading(.init(shardsPerPage: 3, rotationsBetweenPages: 2))
    reading.fake.change { $0.rotateAll(splits: true) }
    let shards = try await reading.source.shards()
    #expect(Set(shards.map(\.id)).count == shards.count && shards.count > 12)
    let all = try await reading.source.shards()
    #expect(Set(shards.map(\.id)).isSubset(of: all.map(\.id)))
    let ids = Set(all.map(\.id))
    #expect(all.filter { $0.parentIDs.isEmpty }.count == 4)
    #expect(all.allSatisfy { ids.isSuperset(of: $0.parentIDs) })
  }

  @Test("a table whose stream was enabled again is drained first, and then followed from the new beginning")
  func succession() async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<3)
    let old = try await reading.shard().id
    reading.fake.change {
      $0.disable()
      $0.enable()
    }
    reading.put(3..<5)
    let (values, end) = try await reading.source.reader(of: old, after: .trimHorizon).values()
    #expect(values == [0, 1, 2])
    let children = try #require(end).children
    #expect(
      children.count == 4 && children.allSatisfy { $0.parentIDs.count == 4 && $0.parentIDs.contains(old) }
    )
    #expect(try await reading.source.streamName() == FakeDynamoDBStreams.table)
  }

  @Test("a stream that stays disabled is drained to an end without children, and at once")
  func disabled() async throws {
    let arn = "\(FakeDynamoDBStreams.table)/stream/2026-06-01T12:00:00.000"
    let reading = try await DynamoDBReading(name: arn)
    reading.put(0..<3)
    reading.fake.change { $0.disable() }
    let shard = try await reading.shard().id
    #expect(shard.hasPrefix("shardId-"))
    let (values, end) = try await reading.source.reader(of: shard, after: .trimHorizon).values()
    #expect(values == [0, 1, 2] && end?.children.isEmpty == true)
    #expect(reading.machine.clock.pauses.isEmpty)
    #expect(try await reading.source.streamName() == arn)
  }

  @Test("lag is the last record's age while more is waiting, and nothing once there is not")
  func lag() async throws {
    let reading = try await DynamoDBReading()
    reading.put(0..<4)
    reading.wait(.seconds(90))
    let reader = try await reading.source.reader(of: reading.shard().id, after: .trimHorizon)
    #expect(try await reader.nextPage(maximumRecords: 2).millisBehindLatest == 90_000)
    #expect(reading.machine.clock.pauses.isEmpty)
    _ = try await reader.nextPage(maximumRecords: 3)
    #expect(try await reader.nextPage(maximumRecords: 3).millisBehindLatest == 0)
  }

  @Test("a table without a stream is not found", arguments: ["others", "\(FakeDynamoDBStreams.table)x"])
  func unknown(name: String) async throws {
    let reading = try await DynamoDBReading(name: name)
    let error = try await #require(throws: TidemarkError.self) { try await reading.source.shards() }
    #expect(error.code == .streamNotFound && error.advice != nil)
  }
}
#endif
