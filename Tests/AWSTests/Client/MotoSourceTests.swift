#if AWS
import Foundation
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Sources against moto", .sharesMachine)
struct MotoSourceTests {
  @Test(
    "Kinesis: every shard is read in order, records that were packed come apart, and any of them can be gone on from"
  )
  func kinesis() async throws {
    let moto = try await Emulator(.moto)
    let client = try moto.client()
    struct Creation: Encodable { var StreamName = "clicks", ShardCount = 2 }
    _ = try await client.send("CreateStream", to: .kinesis, Creation())
    for number in 0..<20 {
      try await put(Data("\(number)".utf8), key: "key \(number % 5)", client)
    }
    var packer = RecordPacker()
    for number in 20..<23 { packer.add(Array("\(number)".utf8), key: "key 0") }
    try await put(Data(packer.packed()), key: "key 0", client)

    let source = try KinesisSource(
      "clicks",
      configuration: moto.configuration,
      retrieval: .polling(interval: .milliseconds(200))
    )
    #expect(
      try await source.streamName().hasPrefix("arn:aws:kinesis:eu-central-1:123456789012:stream/clicks:")
    )
    var byKey: [String: [Int]] = [:]
    for shard in try await source.shards() {
      let records = try await read(source, shard, after: .trimHorizon)
      for record in records { byKey[record.partitionKey, default: []].append(try number(record)) }
      for (index, record) in records.enumerated() {
        let rest = try await read(source, shard, after: record.checkpoint)
        #expect(try rest.map(number) == records[(index + 1)...].map(number))
      }
    }
    #expect(byKey.count == 5)
    #expect(byKey["key 0"] == [0, 5, 10, 15, 20, 21, 22])
    for key in 1..<5 { #expect(byKey["key \(key)"] == [key, key + 5, key + 10, key + 15]) }
  }

  @Test("DynamoDB Streams: a change has the images of its view type", arguments: StreamViewType.allCases)
  func dynamoDB(view: StreamViewType) async throws {
    let moto = try await Emulator(.moto)
    let client = try moto.client()
    try await client.createOrders(view: view)
    for total in ["1", "2.50"] {
      try await client.sendJSON(
        "PutItem",
        to: .dynamoDB,
        #"{"TableName":"Orders","Item":{"id":{"S":"a"},"total":{"N":"\#(total)"}}}"#
      )
    }
    try await client.sendJSON("DeleteItem", to: .dynamoDB, #"{"TableName":"Orders","Key":{"id":{"S":"a"}}}"#)

    let source = try DynamoDBStreamsSource("Orders", configuration: moto.configuration)
    let shard = try #require(try await source.shards().first)
    let records = try await read(source, shard, after: .trimHorizon)
    #expect(records.map(\.change?.eventName) == [.insert, .modify, .remove])
    let first: [String: AttributeValue] = ["id": .s("a"), "total": .n("1")]
    let second: [String: AttributeValue] = ["id": .s("a"), "total": .n("2.50")]
    let hasNew = view == .newImage || view == .newAndOldImages
    let hasOld = view == .oldImage || view == .newAndOldImages
    let changes = records.compactMap(\.change)
    #expect(try changes.map { try $0.keys.attributeValues() } == Array(repeating: ["id": .s("a")], count: 3))
    #expect(
      try changes.map { try $0.newImage?.attributeValues() }
        == (hasNew ? [first, second, nil] : [nil, nil, nil])
    )
    #expect(
      try changes.map { try $0.oldImage?.attributeValues() }
        == (hasOld ? [nil, first, second] : [nil, nil, nil])
    )
    for (index, record) in records.enumerated() {
      let rest = try await read(source, shard, after: record.checkpoint)
      #expect(rest.map(\.sequenceNumber) == records[(index + 1)...].map(\.sequenceNumber))
    }
  }

  private func put(_ data: Data, key: String, _ client: AWSClient) async throws {
    struct Input: Encodable { var StreamName = "clicks", PartitionKey: String, Data: Data }
    _ = try await client.send("PutRecord", to: .kinesis, Input(PartitionKey: key, Data: data))
  }

  /// Until a page is empty.
  private func read(_ source: some StreamSource, _ shard: Shard, after checkpoint: Checkpoint) async throws
    -> [Record]
  {
    let reader = try await source.reader(of: shard.id, after: checkpoint)
    var records: [Record] = []
    while true {
      let page = try await reader.nextPage(maximumRecords: 4)
      records += page.records
      if page.records.isEmpty || page.end != nil { return records }
    }
  }

  private func number(_ record: Record) throws -> Int {
    let data = try #require(record.data)
    return try #require(Int(String(decoding: data, as: UTF8.self)))
  }
}
#endif
