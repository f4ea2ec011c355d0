import Foundation
import LibPQ
import Logging
import ServiceLifecycle
import Tidemark
import TidemarkPostgres
import TidemarkStreams
import UnixSignals

/// A worker process of a drill.
package struct DrillWorker: Sendable {
  package var name: String
  let database: String
  private let leases: String?
  package var application = "drill"
  package var stream = "orders"
  /// Names or patterns of several streams that are read instead.
  package var streams: [String] = []
  /// The file that its history is appended to.
  package var history: String
  package var recordPause: Duration = .zero
  /// Checkpoints in transactions of the worker's own that stay open for this long.
  package var transactionPause: Duration?
  package var configuration = WorkerConfiguration()

  /// Works on the database that ``WorkerProcess`` has put into the environment.
  package init(name: String, history: String) throws {
    guard let url = ProcessInfo.processInfo.environment[WorkerProcess.databaseVariable] else {
      throw PQError(.invalidConfiguration, "\(WorkerProcess.databaseVariable) is not set.")
    }
    self.name = name
    database = url
    leases = ProcessInfo.processInfo.environment[WorkerProcess.leasesVariable]
    self.history = history
  }

  /// Works until SIGTERM or SIGINT, on which it hands everything off.
  package func run(logger: Logger) async throws {
    let history = try HistoryFile(path: history)
    let (name, recordPause, transactionPause) = (name, recordPause, transactionPause)
    try await run(logger: logger) { shard, pool in
      DrillProcessor(
        worker: name,
        history: history,
        shard: shard,
        pool: pool,
        recordPause: recordPause,
        transactionPause: transactionPause
      )
    }
  }

  /// The same with processors of the drill's own, which get the worker's pool.
  package func run(
    logger: Logger,
    processor: @escaping @Sendable (ShardContext, PQPool) -> sending any RecordProcessor
  ) async throws {
    var connection = try PQConfiguration(url: database)
    connection.applicationName = "tidemark drill \(name)"
    let pool = PQPool(connection, maximumConnections: 8, logger: logger)
    var identity = WorkerIdentity.current()
    identity.workerID = name
    var leaseConnection = connection
    var leasePool = pool
    if let leases {
      leaseConnection = try PQConfiguration(url: leases)
      leaseConnection.applicationName = connection.applicationName
      leasePool = PQPool(leaseConnection, maximumConnections: 4, logger: logger)
    }
    let store = PostgresLeaseStore(leaseConnection, pool: leasePool, logger: logger)
    let worker =
      if streams.isEmpty {
        try Worker(
          application: application,
          stream: PostgresStream(stream, pool: pool, logger: logger),
          leases: store,
          configuration: configuration,
          identity: identity,
          logger: logger
        ) { processor($0, pool) }
      } else {
        try Worker(
          application: application,
          catalog: PostgresStreams(matching: streams, pool: pool, logger: logger),
          leases: store,
          configuration: configuration,
          identity: identity,
          logger: logger
        ) { processor($0, pool) }
      }
    try await ServiceGroup(
      services: [worker],
      gracefulShutdownSignals: [.sigterm, .sigint],
      logger: logger
    ).run()
    await pool.close()
    if leases != nil { await leasePool.close() }
  }
}
