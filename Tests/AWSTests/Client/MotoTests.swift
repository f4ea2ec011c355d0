#if AWS
import Foundation
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

@Suite("Against moto", .sharesMachine)
struct MotoTests {
  @Test("roles are assumed, and streams are listed")
  func calls() async throws {
    let moto = try await Emulator(.moto)
    let machine = TestMachine(files: [
      "/home/me/.aws/config": """
      [default]
      region = eu-central-1
      role_arn = arn:aws:iam::123456789012:role/reader
      credential_source = Environment
      """
    ])
    let environment = AWSEnvironment(
      variables: [
        "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_ENDPOINT_URL": moto.url,
      ],
      homeDirectory: "/home/me",
      readFile: { path in machine.files.withLock { $0[path] } }
    )
    var configuration = AWSConfiguration()
    configuration.credentials.profile = "default"
    let sources = CredentialsSources(
      configuration,
      region: "eu-central-1",
      environment: environment,
      logger: machine.logger
    )
    let role = try #require(try await sources.chain.credentials())
    #expect(role.accessKeyID.hasPrefix("ASIA") && role.sessionToken != nil)
    #expect(try #require(role.expiration) > environment.now())

    let client = try AWSClient(configuration, environment: environment, logger: machine.logger)
    struct Streams: Decodable { var Streams: [[String: String]] }
    let streams: Streams = try await client.send("ListStreams", to: .dynamoDBStreams, ["TableName": "none"])
      .decoded()
    #expect(streams.Streams.isEmpty)
    struct Names: Decodable { var StreamNames: [String] }
    struct Creation: Encodable { var StreamName = "orders", ShardCount = 1 }
    _ = try? await client.send("CreateStream", to: .kinesis, Creation())
    let names: Names = try await client.send("ListStreams", to: .kinesis).decoded()
    #expect(names.StreamNames == ["orders"])
    let error = try await #require(throws: TidemarkError.self) {
      try await client.send("DescribeStream", to: .kinesis, ["StreamName": "none"])
    }
    #expect(error.code == .streamNotFound)
  }
}
#endif
