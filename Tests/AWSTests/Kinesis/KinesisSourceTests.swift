import TestSupport
import Testing
import Tidemark

@testable import TidemarkAWS

@Suite("The Kinesis source", .sharesMachine)
struct KinesisSourceTests {
  private func source(_ server: LoopbackServer, _ name: String = "orders") throws -> KinesisSource {
    let machine = TestMachine()
    return KinesisSource(
      try StreamReference(name),
      client: try machine.client(of: server),
      retrieval: .polling,
      environment: machine.environment(),
      logger: machine.logger
    )
  }

  @Test("lists shards page by page, and from the beginning when a token has expired")
  func paging() async throws {
    let first = #"""
      {"NextToken":"T","Shards":[{"ShardId":"a","SequenceNumberRange":{"StartingSequenceNumber":"1",
      "EndingSequenceNumber":"9"},"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"}}]}
      """#
    let second = #"""
      {"Shards":[{"ShardId":"b","ParentShardId":"a","AdjacentParentShardId":"gone","SequenceNumberRange":
      {"StartingSequenceNumber":"10"},"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"}}],"NextToken":null}
      """#
    let server = try await LoopbackServer.replying(
      .json(first),
      .failing("ExpiredNextTokenException"),
      .json(first),
      .json(second)
    )
    let shards = try await source(server).shards()
    let range = Shard.HashRange(start: 0, end: 9)
    #expect(
      shards == [
        Shard(id: "a", hashRange: range, startingSequenceNumber: 1, endingSequenceNumber: 9),
        Shard(id: "b", parentIDs: ["a", "gone"], hashRange: range, startingSequenceNumber: 10),
      ]
    )
    #expect(
      server.requests.map(\.body) == [
        #"{"StreamName":"orders"}"#, #"{"NextToken":"T"}"#, #"{"StreamName":"orders"}"#,
        #"{"NextToken":"T"}"#,
      ]
    )
  }

  @Test(
    "is called by its ARN and the second of its creation, by which a stream that was created again is another"
  )
  func name() async throws {
    let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
    let answer = #"{"StreamDescriptionSummary":{"StreamARN":"\#(arn)","StreamCreationTimestamp":1.7E9}}"#
    let server = try await LoopbackServer.replying(.json(answer))
    #expect(try await source(server).streamName() == "\(arn):1700000000")
    #expect(try await source(server, arn).streamName() == "\(arn):1700000000")
    #expect(server.requests.map(\.body).last?.contains("StreamARN") == true)
  }

  @Test(
    "refuses what is no stream's name",
    arguments: ["", "two words", "arn:aws:dynamodb:eu-central-1:1:table/a"]
  )
  func noName(text: String) {
    let error = #expect(throws: TidemarkError.self) { try StreamReference(text) }
    #expect(error?.code == .invalidConfiguration)
  }
}
