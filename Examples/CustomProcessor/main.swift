import ExampleSupport
import Logging
import ServiceLifecycle
import Tidemark
import TidemarkStreams
import UnixSignals

let logger = Logger(label: "custom-processor")
await exitOnFailure {
  let database = try await ExampleDatabase.open(logger: logger)

  var configuration = WorkerConfiguration()
  configuration.failurePolicy = FailurePolicy(maximumAttempts: 3, whenExhausted: .deadLetter)

  let worker = try Worker(
    application: "custom-processor",
    stream: "orders",
    database: database.configuration,
    pool: database.pool,
    configuration: configuration,
    logger: logger
  ) { _ in OrderAuditor() }

  let services = ServiceGroup(
    services: [database, worker],
    gracefulShutdownSignals: [.sigint, .sigterm],
    logger: logger
  )
  try await services.run()
}
