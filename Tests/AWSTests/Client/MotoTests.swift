import Foundation
import Synchronization
import TestSupport
import Testing
import Tidemark

@testable import TidemarkAWS

/// moto's server, which lives as long as this reference.
private final class Moto: Sendable {
  let url: String
  private let lifeline: FileHandle

  init() async throws {
    // Somebody who listened there a moment ago is the one who knows a port that is free.
    let placeholder = try await LoopbackServer.replying(.json("{}"))
    let port = placeholder.port
    try await placeholder.stop()
    let process = Process()
    let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "moto.sh")
    process.executableURL = script
    process.arguments = ["\(port)"]
    let pipe = Pipe()
    process.standardInput = pipe
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    lifeline = pipe.fileHandleForWriting
    url = "http://127.0.0.1:\(port)"
    let call = HTTPCall(url: "\(url)/moto-api/")
    // The first start installs it.
    try await eventually(within: .seconds(180), "moto answers") {
      if !process.isRunning { throw CocoaError(.executableLoad) }
      return (try? await HTTPTransport.send(call, timeout: .seconds(2)))?.isSuccess == true
    }
  }

  deinit { try? lifeline.close() }
}

@Suite("Against moto", .sharesMachine)
struct MotoTests {
  @Test("roles are assumed, and streams are listed")
  func calls() async throws {
    let moto = try await Moto()
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
