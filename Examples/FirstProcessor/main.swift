import ExampleSupport
import Logging
import ServiceLifecycle
import Tidemark
import TidemarkStreams
import UnixSignals

let logger = Logger(label: "first-processor")
await exitOnFailure {
  let database = try await ExampleDatabase.open(logger: logger)

  let worker = try Worker(
    application: "first-processor",
    stream: "orders",
    database: database.configuration,
    pool: database.pool,
    logger: logger
  ) { _ in ChangePrinter() }

  let services = ServiceGroup(
    services: [database, worker],
    gracefulShutdownSignals: [.sigint, .sigterm],
    logger: logger
  )
  try await services.run()
}
