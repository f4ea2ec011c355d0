import Foundation
import LocalPostgres

/// Writers as `pgbench` drives them: so many connections, each with one statement after the other.
package struct WriterLoad {
  package var url: String
  package var connections = 8
  package var duration = Duration.seconds(5)
  /// Transactions a second of all connections together; `nil` for as many as they can.
  package var rate: Int?

  package init(url: String) { self.url = url }

  /// - Parameter script: in pgbench's language.
  /// - Returns: transactions a second.
  package func run(_ script: String) async throws -> Double {
    let file = FileManager.default.temporaryDirectory.appending(path: "tidemark-\(UUID().uuidString).pgbench")
    try Data(script.utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: try await PostgresInstallation.find().binaryDirectory + "/pgbench")
    process.arguments = [
      "--no-vacuum", "--protocol=prepared", "--client=\(connections)", "--jobs=2",
      "--time=\(duration.components.seconds)", "--file=\(file.path)",
    ]
    if let rate { process.arguments?.append("--rate=\(rate)") }
    process.arguments?.append(url)
    process.standardOutput = output
    process.standardError = output
    try withAlarms { try process.run() }
    let text = await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(
          returning: String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        )
      }
    }
    process.waitUntilExit()
    guard process.terminationStatus == 0,
      let rate = text.firstMatch(of: /tps = ([0-9.]+)/).flatMap({ Double($0.1) })
    else { throw BenchmarkFailure("pgbench failed: \(text)") }
    return rate
  }

  /// A thread of the concurrency runtime blocks signals, and the process that it starts would, too: pgbench would never
  /// hear that its time is up.
  private func withAlarms(_ body: () throws -> Void) rethrows {
    var (alarm, before) = (sigset_t(), sigset_t())
    sigemptyset(&alarm)
    sigaddset(&alarm, SIGALRM)
    pthread_sigmask(SIG_UNBLOCK, &alarm, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try body()
  }
}
