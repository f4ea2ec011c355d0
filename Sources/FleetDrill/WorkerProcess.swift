import Foundation
import LocalPostgres

/// A worker of a drill as a process that can be killed, paused and ended.
package final class WorkerProcess: @unchecked Sendable {
  // `@unchecked Sendable`: `Process` may be asked for its state from any thread once it was started, and is not
  // changed after that.
  private let process = Process()
  /// The worker ends when this does, so none outlives its drill, however that ends.
  private let lifeline = Pipe()

  /// The environment's variable that names the database.
  package static let databaseVariable = "TIDEMARK_DATABASE_URL"
  /// Where the leases are kept, if that is another database.
  static let leasesVariable = "TIDEMARK_LEASES_URL"

  package let name: String
  package var processID: Int32 { process.processIdentifier }
  package var isRunning: Bool { process.isRunning }
  /// What it ended with; only once ``isRunning`` is false.
  package var exitStatus: Int32 { process.terminationStatus }

  /// Starts a worker.
  /// - Parameters:
  ///   - command: the program's path and its arguments, which everybody on this machine can read.
  ///   - database: its URL, which the worker finds in its environment as ``databaseVariable``.
  ///   - leases: the URL of the database with the leases, if they are not in that one.
  ///   - log: the file that its output is appended to.
  package init(name: String, command: [String], database: String, leases: String? = nil, log: String) throws {
    self.name = name
    let output = try PrivateFiles.open(log, O_WRONLY | O_APPEND)
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    var environment = ProcessInfo.processInfo.environment
    environment[Self.databaseVariable] = database
    environment[Self.leasesVariable] = leases
    process.environment = environment
    process.standardInput = lifeline
    process.standardOutput = output
    process.standardError = output
    try process.run()
  }

  /// SIGKILL: the process is gone at once.
  package func crash() { kill(processID, SIGKILL) }
  /// SIGSTOP: it stands still, its connections stay open.
  package func pause() { kill(processID, SIGSTOP) }
  /// SIGCONT.
  package func resume() { kill(processID, SIGCONT) }
  /// SIGTERM: it hands everything off and ends.
  package func terminate() { kill(processID, SIGTERM) }

  package func waitUntilExit() async throws {
    while process.isRunning { try await ContinuousClock().sleep(for: .milliseconds(5)) }
  }
}
