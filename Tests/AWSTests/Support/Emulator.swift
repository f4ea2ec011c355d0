#if AWS
import Foundation
import Logging
import TestSupport
import Testing
import Tidemark

@testable import AWSRequests
@testable import TidemarkAWS

/// A server that others wrote to stand for AWS, which lives as long as this reference.
final class Emulator: Sendable {
  enum Name: String { case moto, ministack }

  let url: String
  private let lifeline: FileHandle

  init(_ name: Name) async throws {
    // The port of a server that has just stopped is free.
    let placeholder = try await LoopbackServer.replying(.json("{}"))
    let port = placeholder.port
    try await placeholder.stop()
    let process = Process()
    let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "emulator.sh")
    process.executableURL = script
    process.arguments = [name.rawValue, "\(port)"]
    let (pipe, errors) = (Pipe(), Pipe())
    process.standardInput = pipe
    process.standardOutput = FileHandle.nullDevice
    process.standardError = errors
    try process.run()
    lifeline = pipe.fileHandleForWriting
    url = "http://127.0.0.1:\(port)"
    let call = HTTPCall(url: "\(url)\(name == .moto ? "/moto-api/" : "/_ministack/health")")
    try await eventually("\(name) answers") {
      if !process.isRunning {
        let said = try errors.fileHandleForReading.readToEnd() ?? Data()
        throw EmulatorEnded(name: name, said: String(decoding: said, as: UTF8.self))
      }
      return (try? await HTTPTransport.send(call, timeout: .seconds(2)))?.isSuccess == true
    }
  }

  deinit { try? lifeline.close() }

  private struct EmulatorEnded: Error, CustomStringConvertible {
    var name: Name
    var said: String

    var description: String { "\(name) has ended: \(said)" }
  }

  /// With an access key, whose account is 123456789012.
  var configuration: AWSConfiguration { AWSConfiguration(endpoint: url) }

  func client() throws -> AWSClient {
    try AWSClient(configuration, environment: AWSEnvironment(), logger: Logger(label: "test"))
  }
}
#endif
