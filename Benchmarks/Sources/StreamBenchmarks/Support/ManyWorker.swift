import ArgumentParser
import BenchmarkSupport
import Foundation
import Logging
import Tidemark
import TidemarkStreams

/// A worker of all streams in a process of its own, which says whenever it handles a record, and ends with its standard
/// input, and so with the process that started it.
struct ManyWorkerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "many-worker",
    abstract: "Reads all streams and says when.",
    shouldDisplay: false
  )

  static let databaseVariable = "TIDEMARK_BENCHMARK_DATABASE"

  @Option var name: String

  func run() async throws {
    Thread.detachNewThread {
      while readLine() != nil {}
      Foundation.exit(1)
    }
    var identity = WorkerIdentity.current()
    identity.workerID = name
    let worker = try Worker(
      application: "fleet",
      streams: ["*"],
      database: ProcessInfo.processInfo.environment[Self.databaseVariable] ?? "",
      identity: identity,
      logger: BenchmarkDatabase.logger
    ) { SayingProcessor(stream: $0.stream) }
    try await worker.run()
  }
}

/// Never makes a checkpoint, so that whoever takes a shard over reads all of it again, and says so.
private struct SayingProcessor: RecordProcessor {
  let stream: String

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    FileHandle.standardOutput.write(Data("\(LatencyProbe.stamp()) \(stream)\n".utf8))
  }
}

/// This program, started once more as a worker.
final class ManyWorkerProcess {
  let name: String
  private let process = Process()
  /// The worker lives as long as this is open.
  private let input = Pipe()
  private let output: URL

  init(_ name: String, on database: BenchmarkDatabase, in directory: URL) throws {
    self.name = name
    output = directory.appendingPathComponent(name)
    try Data().write(to: output)
    process.executableURL = Bundle.main.executableURL
    process.arguments = ["many-worker", "--name", name]
    process.environment = ProcessInfo.processInfo.environment.merging(
      [ManyWorkerCommand.databaseVariable: database.url]
    ) { $1 }
    process.standardInput = input
    process.standardOutput = try FileHandle(forWritingTo: output)
    try process.run()
  }

  func crash() {
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  /// When it first handled a record of each stream since a moment, by ``LatencyProbe/stamp()``.
  func handled(since moment: Int64) throws -> [String: Int64] {
    var handled: [String: Int64] = [:]
    for line in String(decoding: try Data(contentsOf: output), as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2, let time = Int64(words[0]), time >= moment else { continue }
      handled[String(words[1])] = min(handled[String(words[1])] ?? .max, time)
    }
    return handled
  }
}
