import Foundation
import TestSupport
import Testing

/// The program, as a person runs it; see `swift run Torture --help`. The seed is another each time, and in what a failure shows.
@Suite("Torture", .needsMachineAlone, .serialized)
struct TortureTests {
  @Test(
    "random writers and faults lose, double and swap nothing",
    arguments: ["trigger", "logical", "snapshot"]
  )
  func round(capture: String) async throws {
    let ((status, text), commands) = try await WatchedArguments.during {
      try await run(["--capture", capture, "--rounds", "1", "--round-seconds", "12"])
    }
    #expect(status == 0, "\(text)")
    #expect(text.contains("Everything that was committed was delivered, in order."))
    #expect(!commands.contains(where: WatchedArguments.showPassword))
  }

  private func run(_ arguments: [String]) async throws -> (status: Int32, text: String) {
    let bundle = try #require(Bundle.main.executablePath)
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: bundle).deletingLastPathComponent()
      .appendingPathComponent("Torture")
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let bytes = try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(with: Result { try output.fileHandleForReading.readToEnd() ?? Data() })
      }
    }
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
  }
}
