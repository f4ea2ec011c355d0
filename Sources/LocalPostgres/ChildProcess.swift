import Foundation
import Synchronization

/// A child process whose end is awaited without blocking a thread.
///
/// Built on Foundation's `Process`, not on swift-subprocess, which ties a child to the scope of one closure:
/// a server lives from `start` to `stop`. `Process` gives the child a process group of its own, so a Ctrl-C
/// in the terminal does not reach it, and none of this process's descriptors but the three standard ones.
final class ChildProcess: Sendable {
  private struct Ending {
    var status: Int32?
    var waiting: [CheckedContinuation<Int32, Never>] = []
  }

  private let ending: Mutex<Ending>

  /// - Parameters:
  ///   - input: what the child reads, the null device if `nil`.
  ///   - output: takes what the child writes to standard output and standard error.
  init(_ command: [String], input: Pipe? = nil, output: FileHandle = .nullDevice) throws {
    ending = Mutex(Ending())
    let process = Process()
    process.executableURL = URL(filePath: command[0])
    process.arguments = Array(command.dropFirst())
    process.environment = Self.environment
    // The server's user may not be able to enter the current directory.
    process.currentDirectoryURL = URL(filePath: "/")
    process.standardInput = input ?? FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    process.terminationHandler = { [self] in ended(status: $0.terminationStatus) }
    try process.run()
  }

  /// The exit status, or the number of the signal that ended the child.
  var status: Int32 {
    get async {
      await withCheckedContinuation { continuation in
        let status = ending.withLock { ending in
          if ending.status == nil { ending.waiting.append(continuation) }
          return ending.status
        }
        if let status { continuation.resume(returning: status) }
      }
    }
  }

  var isRunning: Bool { ending.withLock { $0.status == nil } }

  private func ended(status: Int32) {
    let waiting = ending.withLock { ending in
      ending.status = status
      defer { ending.waiting = [] }
      return ending.waiting
    }
    for continuation in waiting { continuation.resume(returning: status) }
  }

  /// Runs a command that ends by itself and says little (a pipe's buffer, 64 KiB on Linux, must hold it).
  static func run(_ command: [String]) async throws -> (status: Int32, output: String) {
    let pipe = Pipe()
    let child = try ChildProcess(command, output: pipe.fileHandleForWriting)
    try pipe.fileHandleForWriting.close()
    let status = await child.status
    let bytes = try pipe.fileHandleForReading.readToEnd() ?? Data()
    try pipe.fileHandleForReading.close()
    return (status, String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
  }

  /// The user's environment without libpq's and the server's variables, which would send `createdb` to
  /// another server, and with messages that can be read by a program.
  private static var environment: [String: String] {
    var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PG") }
    environment["LC_ALL"] = "C"
    return environment
  }
}
