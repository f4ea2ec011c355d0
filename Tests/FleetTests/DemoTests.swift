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
    let files = try TemporaryDirectory()
    let demo = try start(output: FileHandle.nullDevice, files: files.path)
    try await eventually("its workers run") { try workers(writingTo: files.path).count == 3 }
    kill(demo.processIdentifier, signal)
    try await eventually("no worker is left") { try workers(writingTo: files.path).isEmpty }
    demo.waitUntilExit()
  }

  @Test("it writes into no directory that somebody else has made before")
  func planted() async throws {
    let files = try TemporaryDirectory()
    let victim = files.path + "/victim"
    try Data().write(to: URL(filePath: victim))
    let names = (1...200).map { "tidemark-demo-\(Int(getpid()) + $0)" }
    for name in names {
      let directory = URL(filePath: "\(files.path)/\(name)")
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: false)
      for file in ["worker-1.jsonl", "worker-1.log"] {
        try FileManager.default.createSymbolicLink(
          atPath: "\(directory.path)/\(file)",
          withDestinationPath: victim
        )
      }
    }
    let demo = try start(output: FileHandle.nullDevice, files: files.path)
    defer { kill(demo.processIdentifier, SIGKILL) }
    try await eventually("its workers run") { try workers(writingTo: files.path).count == 3 }
    let made = try FileManager.default.contentsOfDirectory(atPath: files.path).filter {
      $0.hasPrefix("tidemark-demo-") && !names.contains($0)
    }
    #expect(made.count == 1)
    let own = "\(files.path)/\(made.first ?? "")"
    #expect(try FileManager.default.attributesOfItem(atPath: own)[.posixPermissions] as? Int == 0o700)
    try await eventually("a worker has written something") {
      try FileManager.default.contentsOfDirectory(atPath: own).contains {
        $0.hasSuffix(".jsonl") && FileManager.default.contents(atPath: "\(own)/\($0)")?.isEmpty == false
      }
    }
    #expect(FileManager.default.contents(atPath: victim) == Data())
  }

  private func start(output: Any, files: String? = nil) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try FleetUnderTest.executable())
    process.arguments = ["demo"]
    if let files {
      process.environment = ProcessInfo.processInfo.environment.merging(["TMPDIR": files]) { $1 }
    }
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

  /// The processes whose histories are beneath this directory.
  private func workers(writingTo directory: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }.filter { id in
      let arguments = try? String(contentsOfFile: "/proc/\(id)/cmdline", encoding: .utf8)
      return arguments?.contains("drill-worker") == true && arguments?.contains(directory + "/") == true
    }
  }
}
