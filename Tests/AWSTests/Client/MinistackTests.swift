#if AWS
import Foundation
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Sources against ministack", .sharesMachine)
struct MinistackTests {
  /// Far more than come before what a test waits for: an idle subscription has one every few seconds.
  private static let maximumPages = 100

  @Test(
    "Kinesis with enhanced fan-out: records are pushed, the next owner takes over, and the end names the children"
  )
  func fanOut() async throws {
    let ministack = try await Emulator(.ministack)
    let client = try ministack.client()
    try await client.sendJSON("CreateStream", to: .kinesis, #"{"StreamName":"clicks","ShardCount":1}"#)
    func source() throws -> KinesisSource {
      try KinesisSource(
        "clicks",
        configuration: ministack.configuration,
        retrieval: .fanOut(consumerName: "billing")
      )
    }
    try await put("1", "2", to: client)
    let shard = try #require(try await source().shards().first)
    let first = try await source().reader(of: shard.id, after: .trimHorizon)
    let read = try await records(2, first)
    #expect(read.map(text) == ["1", "2"])
    try await put("3", to: client)
    #expect(try await records(1, first).map(text) == ["3"])

    let second = try await source().reader(of: shard.id, after: read[0].checkpoint)
    let error = try await #require(throws: TidemarkError.self) {
      for _ in 0..<Self.maximumPages { _ = try await first.nextPage(maximumRecords: 100) }
    }
    #expect(error.code == .throttled && error.message.contains("taken over"))
    #expect(try await records(2, second).map(text) == ["2", "3"])

    try await client.sendJSON(
      "SplitShard",
      to: .kinesis,
      #"{"StreamName":"clicks","ShardToSplit":"\#(shard.id)","NewStartingHashKey":"1000"}"#
    )
    var end: ShardPage.End?
    for _ in 0..<Self.maximumPages where end == nil {
      end = try await second.nextPage(maximumRecords: 100).end
    }
    #expect(end?.children.map(\.parentIDs) == [[shard.id], [shard.id]])
    #expect(end?.children.map(\.hashRange?.start) == [0, 1000])
  }

  @Test("DynamoDB Streams: a stream that was disabled is read to its end, and has no children")
  func disabled() async throws {
    let ministack = try await Emulator(.ministack)
    let client = try ministack.client()
    try await client.createOrders(view: .keysOnly)
    for id in ["a", "b"] {
      try await client.sendJSON(
        "PutItem",
        to: .dynamoDB,
        #"{"TableName":"Orders","Item":{"id":{"S":"\#(id)"}}}"#
      )
    }
    // It lists disabled streams no more, as the service does for a day.
    let arn = try await DynamoDBStreamsAPI(client: client).listStreams(ofTable: "Orders")[0].StreamArn
    let source = try DynamoDBStreamsSource(
      arn,
      pollInterval: .milliseconds(50),
      configuration: ministack.configuration
    )
    let shard = try #require(try await source.shards().first)
    let reader = try await source.reader(of: shard.id, after: .trimHorizon)
    try await client.sendJSON(
      "UpdateTable",
      to: .dynamoDB,
      #"{"TableName":"Orders","StreamSpecification":{"StreamEnabled":false}}"#
    )
    var (records, end): ([Record], ShardPage.End?) = ([], nil)
    while end == nil {
      let page = try await reader.nextPage(maximumRecords: 1)
      records += page.records
      end = page.end
    }
    #expect(
      try records.map { try $0.change?.keys.attributeValues() } == [["id": .s("a")], ["id": .s("b")]]
    )
    #expect(end?.children.isEmpty == true)
  }

  private func put(_ values: String..., to client: AWSClient) async throws {
    for value in values {
      let data = Data(value.utf8).base64EncodedString()
      try await client.sendJSON(
        "PutRecord",
        to: .kinesis,
        #"{"StreamName":"clicks","PartitionKey":"k","Data":"\#(data)"}"#
      )
    }
  }

  private func records(_ count: Int, _ reader: any ShardReader) async throws -> [Record] {
    var records: [Record] = []
    for _ in 0..<Self.maximumPages where records.count < count {
      records += try await reader.nextPage(maximumRecords: 100).records
    }
    return records
  }

  private func text(_ record: Record) -> String {
    record.data.map { String(decoding: $0, as: UTF8.self) } ?? ""
  }
}
#endif
