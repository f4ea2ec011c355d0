import Foundation
import Synchronization
import TestSupport
import Testing

/// A built example that runs as a process of its own.
final class ExampleProcess: Sendable {
  struct Exit: Hashable {
    var status: Int32
    /// Whether the status is that of a signal which ended the process.
    var isSignal: Bool
  }

  private final class Ending: Sendable {
    let exit = Mutex<Exit?>(nil)
  }

  let processID: Int32
  private let ending = Ending()
  private let outputFile: URL

  /// - Parameters:
  ///   - database: the URL that the example is given; `nil` for a server of its own.
  ///   - environment: what it is given besides.
  init(_ name: String, database: String?, environment: [String: String] = [:]) throws {
    let tests = try #require(Bundle.main.executableURL)
    let executable = tests.deletingLastPathComponent().appending(path: name)
    try #require(FileManager.default.isExecutableFile(atPath: executable.path), "\(name) was not built")
    outputFile = FileManager.default.temporaryDirectory.appending(path: "\(name)-\(UUID().uuidString)")
    try Data().write(to: outputFile)
    let output = try FileHandle(forWritingTo: outputFile)
    defer { try? output.close() }
    let process = Process()
    process.executableURL = executable
    process.environment = ProcessInfo.processInfo.environment.merging(
      environment.merging(["TIDEMARK_DATABASE_URL": database ?? ""]) { $1 }
    ) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    process.terminationHandler = { [ending] process in
      let exit = Exit(
        status: process.terminationStatus,
        isSignal: process.terminationReason == .uncaughtSignal
      )
      ending.exit.withLock { $0 = exit }
    }
    try process.run()
    processID = process.processIdentifier
  }

  deinit {
    if isRunning { send(SIGKILL) }
    try? FileManager.default.removeItem(at: outputFile)
  }

  var isRunning: Bool { ending.exit.withLock { $0 == nil } }

  /// Standard output and standard error so far. What is printed, but not logged, comes late.
  var output: String {
    (try? String(contentsOf: outputFile, encoding: .utf8)) ?? ""
  }

  func send(_ signal: Int32) {
    kill(processID, signal)
  }

  func waitUntilExit() async throws -> Exit {
    try await eventually("\(processID) ends") { !isRunning }
    return try #require(ending.exit.withLock { $0 })
  }
}
