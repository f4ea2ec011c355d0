import ArgumentParser
import FleetDrill
import Foundation
import Logging
import Tidemark

/// A worker process of `tidemark demo` and of fleet tests.
struct DrillWorkerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drill-worker",
    abstract: "Run one worker of a drill.",
    shouldDisplay: false
  )

  @Option(help: "The worker's name.")
  var name: String

  @Option(help: "The file to append the history to.")
  var history: String

  @Option(help: "The application.")
  var application = "drill"

  @Option(help: "The name of a stream, or a pattern of names.")
  var streams: [String] = []

  @Option(help: "How often streams and shards are listed, in milliseconds.")
  var shardSyncMilliseconds: Int?

  @Option(help: "The failover interval in milliseconds.")
  var failoverMilliseconds: Int?

  @Option(help: "How long handling a record takes, in microseconds.")
  var recordPauseMicroseconds = 0

  @Option(help: "How long a transaction with a checkpoint stays open, in milliseconds; none without it.")
  var transactionPauseMilliseconds: Int?

  func run() async throws {
    Self.endWithStandardInput()
    var worker = try DrillWorker(name: name, history: history)
    worker.application = application
    worker.streams = streams
    if let shardSyncMilliseconds {
      worker.configuration.reading.shardSyncInterval = .milliseconds(shardSyncMilliseconds)
    }
    worker.recordPause = .microseconds(recordPauseMicroseconds)
    worker.transactionPause = transactionPauseMilliseconds.map { .milliseconds($0) }
    if let failoverMilliseconds {
      let interval = Duration.milliseconds(failoverMilliseconds)
      worker.configuration.failover.interval = interval
      worker.configuration.failover.heartbeatInterval = min(interval / 5, .seconds(1))
      worker.configuration.failover.margin = interval / 10
    }
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    try await worker.run(logger: Logger(label: name))
  }

  /// Standard input is a pipe from the drill that nothing is written to: at its end the drill is gone.
  private static func endWithStandardInput() {
    Thread.detachNewThread {
      while let data = try? FileHandle.standardInput.read(upToCount: 1), !data.isEmpty {}
      Foundation.exit(1)
    }
  }
}
