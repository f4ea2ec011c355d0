import FleetDrill
import Foundation
import TestSupport
import Testing

/// The program's main job, as a newcomer runs it.
@Suite("tidemark demo", .needsMachineAlone, .serialized)
struct DemoTests {
  @Test("it finds everything as promised and ends in good order")
  func demo() async throws {
    let output = Pipe()
    let demo = try start(output: output)
    let text = String(decoding: try await readToEnd(output), as: UTF8.self)
    demo.waitUntilExit()
    #expect(demo.terminationStatus == 0, "\(text)")
    #expect(text.contains("SIGKILL"))
    #expect(text.contains("Every change was delivered, in order."))
  }

  @Test("its workers end with it, even if it is killed", arguments: [SIGTERM, SIGKILL])
  func killed(signal: Int32) async throws {
    let demo = try start(output: FileHandle.nullDevice)
    let history = FileManager.default.temporaryDirectory.path + "/tidemark-demo-\(demo.processIdentifier)"
    defer { try? FileManager.default.removeItem(atPath: history) }
    try await eventually("its workers run") { try workers(of: history).count == 3 }
    kill(demo.processIdentifier, signal)
    try await eventually("no worker is left") { try workers(of: history).isEmpty }
    demo.waitUntilExit()
  }

  private func start(output: Any) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try FleetUnderTest.executable())
    process.arguments = ["demo"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  private func readToEnd(_ pipe: Pipe) async throws -> Data {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(with: Result { try pipe.fileHandleForReading.readToEnd() ?? Data() })
      }
    }
  }

  /// The processes that write their history to this directory.
  private func workers(of directory: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }.filter { id in
      let arguments = try? String(contentsOfFile: "/proc/\(id)/cmdline", encoding: .utf8)
      return arguments?.contains("drill-worker") == true && arguments?.contains(directory + "/") == true
    }
  }
}
