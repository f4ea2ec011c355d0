import ExampleSupport
import Logging
import ServiceLifecycle
import Tidemark
import TidemarkStreams
import UnixSignals

let logger = Logger(label: "customer-totals")
await exitOnFailure {
  let database = try await ExampleDatabase.open(creating: CustomerTotals.table, logger: logger)

  let worker = try Worker(
    application: "customer-totals",
    stream: "orders",
    database: database.configuration,
    pool: database.pool,
    logger: logger
  ) { [pool = database.pool] _ in CustomerTotals(pool: pool) }

  let services = ServiceGroup(
    services: [database, worker],
    gracefulShutdownSignals: [.sigint, .sigterm],
    logger: logger
  )
  try await services.run()
}
