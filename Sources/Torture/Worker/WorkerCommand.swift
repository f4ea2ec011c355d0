import ArgumentParser
import FleetDrill
import Foundation
import Logging
import Tidemark

/// A worker process of a torture.
struct WorkerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker",
    abstract: "Run one worker of a torture.",
    shouldDisplay: false
  )

  @Option var name: String
  @Option var application: String
  @Option var stream: String
  @Option(help: "The file to append the history to.")
  var history: String
  @Flag(help: "Begin with a snapshot.")
  var snapshot = false
  @Flag(help: "Write what is handled into the table ledger, in the transaction of the checkpoint.")
  var ledger = false

  func run() async throws {
    Self.endWithStandardInput()
    var worker = try DrillWorker(name: name, history: history)
    worker.application = application
    worker.stream = stream
    if snapshot { worker.configuration.reading.initialPosition = .snapshot }
    worker.configuration.reading.shardSyncInterval = .seconds(2)
    worker.configuration.failover.interval = .seconds(2)
    worker.configuration.failover.heartbeatInterval = .milliseconds(400)
    worker.configuration.failover.margin = .milliseconds(200)
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    let logger = Logger(label: name)
    if ledger {
      try await worker.run(logger: logger) { LedgerProcessor(pool: $1) }
    } else {
      try await worker.run(logger: logger)
    }
  }

  /// Standard input is a pipe from the torture that nothing is written to: at its end the torture is gone.
  private static func endWithStandardInput() {
    Thread.detachNewThread {
      while let data = try? FileHandle.standardInput.read(upToCount: 1), !data.isEmpty {}
      Foundation.exit(1)
    }
  }
}
