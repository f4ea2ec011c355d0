#if AWS
import Foundation
import Tidemark

/// What credentials, regions and retries read of the machine. Tests bring their own.
package struct AWSEnvironment: Sendable {
  /// Environment variables.
  package var variables: [String: String]
  /// Where `~/.aws` is.
  package var homeDirectory: String
  /// The text of a file; `nil` if there is none.
  package var readFile: @Sendable (String) throws -> String?
  /// Runs a program with its arguments and returns what it wrote, without a shell.
  package var runCommand: @Sendable ([String]) async throws -> CommandResult
  /// The wall clock, which signatures and expirations are about.
  package var now: @Sendable () -> Timestamp
  /// What pauses are measured with.
  package var clock: any MonotonicClock
  package var random: SharedRandom

  /// What a program said.
  package struct CommandResult: Sendable {
    package var exitCode: Int32
    package var output: String

    package init(exitCode: Int32, output: String) {
      self.exitCode = exitCode
      self.output = output
    }
  }

  /// Defaults to what this process has.
  package init(
    variables: [String: String] = ProcessInfo.processInfo.environment,
    homeDirectory: String? = nil,
    readFile: @escaping @Sendable (String) throws -> String? = Self.readFileOfMachine,
    runCommand: @escaping @Sendable ([String]) async throws -> CommandResult = Self.runCommandOfMachine,
    now: @escaping @Sendable () -> Timestamp = Self.wallClockOfMachine,
    clock: any MonotonicClock = ContinuousClock(),
    random: SharedRandom = SharedRandom()
  ) {
    self.variables = variables
    self.homeDirectory = homeDirectory ?? variables["HOME"] ?? NSHomeDirectory()
    self.readFile = readFile
    self.runCommand = runCommand
    self.now = now
    self.clock = clock
    self.random = random
  }

  /// A variable that is set and not empty.
  func variable(_ name: String) -> String? {
    guard let value = variables[name], !value.isEmpty else { return nil }
    return value
  }

  func isTrue(_ name: String) -> Bool { variable(name)?.lowercased() == "true" }

  /// A path whose `~` is the home directory.
  func path(_ path: String) -> String {
    path == "~" || path.hasPrefix("~/") ? homeDirectory + path.dropFirst() : path
  }

  package static func readFileOfMachine(_ path: String) throws -> String? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    return try String(contentsOfFile: path, encoding: .utf8)
  }

  package static func wallClockOfMachine() -> Timestamp {
    Timestamp(microsecondsSinceEpoch: Int64(Date().timeIntervalSince1970 * 1_000_000))
  }

  /// What the program says to its standard error goes to this process's, as with the SDKs: it may ask for a code.
  package static func runCommandOfMachine(_ command: [String]) async throws -> CommandResult {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = command
    process.standardInput = FileHandle.nullDevice
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    return await withCheckedContinuation { continuation in
      DispatchQueue.global().async {
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let text = String(decoding: output, as: UTF8.self)
        continuation.resume(returning: CommandResult(exitCode: process.terminationStatus, output: text))
      }
    }
  }
}
#endif
