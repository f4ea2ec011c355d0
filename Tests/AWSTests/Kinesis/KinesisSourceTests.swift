#if AWS
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
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

  @Test("the source lists shards page by page, and from the beginning when a token has expired")
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
      .json(second),
      .json(#"{"StreamDescriptionSummary":{"StreamARN":"arn","StreamCreationTimestamp":1}}"#)
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
        #"{"NextToken":"T"}"#, #"{"StreamName":"orders"}"#,
      ]
    )
  }

  @Test(
    "the source is called by its ARN and the second of its creation, by which a stream that was created again is another"
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
    "the source finds out, when it lists shards, that its stream is another one by now, and reads that one no more"
  )
  func createdAgain() async throws {
    let reading = try await KinesisReading()
    reading.put(0..<3)
    let reader = try await reading.reader()
    let name = try await reading.source.streamName()
    #expect(try await reading.source.shards().count == 1)
    #expect(try await reader.values(2).values == [0, 1, 2])
    reading.createAgain()
    reading.put(10..<20)
    for _ in 0..<2 {
      let error = try await #require(throws: TidemarkError.self) { try await reading.source.shards() }
      #expect(error.code == .streamNotFound && !error.isRetryable && error.message.contains(name))
      #expect(error.advice?.contains("again") == true)
    }
    let calls = reading.server.requests.count
    let refused: [@Sendable () async throws -> Void] = [
      { _ = try await reader.nextPage(maximumRecords: 3) }, { _ = try await reading.reader() },
      { _ = try await reading.source.streamName() },
    ]
    for call in refused {
      let error = try await #require(throws: TidemarkError.self) { try await call() }
      #expect(error.code == .streamNotFound)
    }
    #expect(reading.server.requests.count == calls)
  }

  @Test(
    "the source refuses what is no stream's name",
    arguments: ["", "two words", "arn:aws:dynamodb:eu-central-1:1:table/a"]
  )
  func noName(text: String) {
    let error = #expect(throws: TidemarkError.self) { try StreamReference(text) }
    #expect(error?.code == .invalidConfiguration)
  }
}
#endif
