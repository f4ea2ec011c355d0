import BenchmarkSupport
import Foundation

/// This program, started once more as an endpoint.
final class EndpointProcess {
  private(set) var url = ""
  private let process = Process()
  /// The endpoint lives as long as this is open.
  private let input = Pipe()

  var processID: Int { Int(process.processIdentifier) }

  init(_ service: EndpointCommand.Service, _ load: ReadingLoad) throws {
    let output = Pipe()
    process.executableURL = Bundle.main.executableURL
    process.arguments = [
      "endpoint", service.rawValue, "--shards", "\(load.shards)",
      "--records-per-shard", "\(load.recordsPerShard)",
    ]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    guard let port = Int(line.trimmingCharacters(in: .whitespacesAndNewlines)), port > 0 else {
      throw BenchmarkFailure("the endpoint did not start: \(line)")
    }
    url = "http://127.0.0.1:\(port)"
  }

  func stop() throws {
    try input.fileHandleForWriting.close()
    process.waitUntilExit()
  }
}
