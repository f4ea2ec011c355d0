import Foundation
import TestSupport
import Testing

/// A run of the program that may still go on. It is killed when nobody refers to it any more.
///
/// `@unchecked Sendable`: everything is set once, in `init`, and `Process` may be asked from any thread.
final class RunningCommand: @unchecked Sendable {
  private let process = Process()
  private let files: TemporaryDirectory
  private let input = Pipe()
  private let ending: AsyncStream<Void>

  init(
    _ executable: String,
    _ arguments: [String],
    environment: [String: String],
    input text: String?,
    output: String?
  ) throws {
    files = try TemporaryDirectory()
    let (ending, end) = AsyncStream.makeStream(of: Void.self)
    self.ending = ending
    process.executableURL = URL(filePath: executable)
    process.arguments = arguments
    process.environment = environment
    process.standardInput = input
    process.standardOutput =
      try output.map { try #require(FileHandle(forWritingAtPath: $0)) } ?? Self.file(files.path + "/output")
    process.standardError = try Self.file(files.path + "/errors")
    process.terminationHandler = { _ in end.finish() }
    try process.run()
    if let text {
      try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
      try input.fileHandleForWriting.close()
    }
  }

  deinit {
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
  }

  /// What it has written to standard output until now.
  var output: String { Self.content(files.path + "/output") }

  /// What it has written to standard error until now.
  var errors: String { Self.content(files.path + "/errors") }

  func signal(_ signal: Int32) {
    kill(process.processIdentifier, signal)
  }

  /// Waits for the end.
  var outcome: CommandOutcome {
    get async {
      for await _ in ending {}
      return CommandOutcome(status: process.terminationStatus, output: output, errors: errors)
    }
  }

  private static func file(_ path: String) throws -> FileHandle {
    try Data().write(to: URL(filePath: path))
    return try FileHandle(forWritingTo: URL(filePath: path))
  }

  private static func content(_ path: String) -> String {
    String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
  }
}
