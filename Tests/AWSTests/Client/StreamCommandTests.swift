#if AWS
import Foundation
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("tidemark stream over moto", .sharesMachine)
struct StreamCommandTests {
  @Test("describe shows the lineage of a Kinesis stream as a tree, and tail prints its records")
  func kinesis() async throws {
    let moto = try await Emulator(.moto)
    let client = try moto.client()
    try await client.sendJSON("CreateStream", to: .kinesis, #"{"StreamName":"clicks","ShardCount":1}"#)
    try await put("one", to: client)
    try await client.sendJSON(
      "SplitShard",
      to: .kinesis,
      #"{"StreamName":"clicks","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"1000"}"#
    )
    try await put("two", to: client)

    let tree = try await tidemark("describe", "kinesis:clicks", at: moto.url)
    #expect(tree.exitCode == 0 && tree.output.contains("stream/clicks:"))
    #expect(tree.output.contains("2 open, 1 closed"))
    let rows = tree.output.split(separator: "\n").filter { $0.contains("shardId-") }
    #expect(rows.map { $0.prefix { $0 == " " }.count } == [0, 2, 2])
    #expect(rows.map { $0.split(separator: " ")[1] } == ["closed", "open", "open"])

    let tail = try await tidemark("tail", "kinesis:clicks", "--no-follow", "--json", at: moto.url)
    struct Line: Decodable {
      var shard_id: String
      var partition_key: String
      var data: String
    }
    let lines = try tail.output.split(separator: "\n").map {
      try JSONDecoder().decode(Line.self, from: Data($0.utf8))
    }
    #expect(tail.exitCode == 0 && lines.map(\.data) == ["one", "two"])
    #expect(lines.first?.shard_id == "shardId-000000000000" && lines.last?.partition_key == "k")
  }

  @Test("describe shows the shards of a DynamoDB table's stream, and tail prints its changes")
  func dynamoDB() async throws {
    let moto = try await Emulator(.moto)
    let client = try moto.client()
    try await client.createOrders()
    for total in ["1", "2.50"] {
      try await client.sendJSON(
        "PutItem",
        to: .dynamoDB,
        #"{"TableName":"Orders","Item":{"id":{"S":"a"},"total":{"N":"\#(total)"}}}"#
      )
    }

    let tree = try await tidemark("describe", "dynamodb:Orders", at: moto.url)
    #expect(tree.exitCode == 0 && tree.output.contains("table/Orders"))
    #expect(tree.output.contains("1 open, 0 closed"))

    let tail = try await tidemark("tail", "dynamodb:Orders", "--no-follow", at: moto.url)
    let lines = tail.output.split(separator: "\n")
    #expect(tail.exitCode == 0 && lines.count == 2)
    #expect(lines.first?.contains("INSERT") == true && lines.last?.contains("MODIFY") == true)
    #expect(lines.last?.contains("2.50") == true)
  }

  @Test("a stream that is not there is an error")
  func missing() async throws {
    let server = try await LoopbackServer.replying(.json(#"{"Streams":[]}"#))
    let outcome = try await tidemark("describe", "dynamodb:Orders", at: server.url)
    #expect(outcome.exitCode == 1 && outcome.output.isEmpty)
    #expect(server.calls("ListStreams") == 1)
  }

  private func put(_ data: String, to client: AWSClient) async throws {
    let base64 = Data(data.utf8).base64EncodedString()
    try await client.sendJSON(
      "PutRecord",
      to: .kinesis,
      #"{"StreamName":"clicks","PartitionKey":"k","Data":"\#(base64)"}"#
    )
  }

  /// The program stands beside the tests' bundle.
  private func tidemark(
    _ arguments: String...,
    at endpoint: String
  ) async throws -> AWSEnvironment.CommandResult {
    let bundle = URL(filePath: try #require(Bundle.main.executablePath))
    return try await AWSEnvironment.runCommandOfMachine(
      [
        "AWS_ENDPOINT_URL=\(endpoint)", "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=AKID",
        "AWS_SECRET_ACCESS_KEY=SECRET", bundle.deletingLastPathComponent().appending(path: "tidemark").path,
        "stream",
      ] + arguments
    )
  }
}
#endif
