#if AWS
import Foundation
import Testing

/// The example `AmazonStreams` as a process of its own. It ends with this reference, and with this process, however that
/// ends.
final class ExampleWorker {
  enum Signal: String { case terminate = "TERM", kill = "KILL" }

  private let process = Process()
  private let lifeline = Pipe()

  /// - Parameters:
  ///   - variables: set in its environment, besides the tests' own.
  ///   - output: the file that its lines are appended to, each whole, although others write to it too.
  ///   - errors: the file that its log is appended to.
  init(_ stream: String, variables: [String: String], output: String, errors: String) throws {
    let tests = try #require(Bundle.main.executableURL)
    let program = tests.deletingLastPathComponent().appending(path: "AmazonStreams").path
    try #require(FileManager.default.isExecutableFile(atPath: program), "\(program) was not built")
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    // One line tells the signal; the end of the pipe is the end of this process. Not sh: dash waits for SIGCHLD, which
    // Dispatch's threads have blocked, and a process that one of them starts inherits that.
    process.arguments = [
      "bash", "-c",
      #"exec >>"$2" 2>>"$3"; "$0" "$1" </dev/null & read -r signal || signal=KILL; kill -s "$signal" $!; wait $!"#,
      program, stream, output, errors,
    ]
    process.environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
    process.standardInput = lifeline
    try process.run()
  }

  /// What the shell says of its end, 128 and the signal's number for a signal; `nil` until then.
  var exitStatus: Int32? { process.isRunning ? nil : process.terminationStatus }

  /// Only once.
  func send(_ signal: Signal) throws {
    try lifeline.fileHandleForWriting.write(contentsOf: Data("\(signal.rawValue)\n".utf8))
  }
}
#endif
