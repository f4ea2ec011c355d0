#if AWS
import ExampleSupport
import Foundation
import Logging
import ServiceLifecycle
import Tidemark
import TidemarkAWS
import TidemarkPostgres
import TidemarkStreams
import UnixSignals

let logger = Logger(label: "amazon-streams")
await exitOnFailure {
  guard let source = try streamSource(named: CommandLine.arguments.dropFirst().joined()) else {
    logger.error("Name a stream: kinesis:NAME or dynamodb:TABLE; NAME and TABLE may be ARNs")
    exit(64)
  }
  let database = try await ExampleDatabase.openForLeases(logger: logger)

  let worker = try Worker(
    application: "amazon-streams",
    stream: source,
    leases: PostgresLeaseStore(database.configuration, pool: database.pool, logger: logger),
    logger: logger
  ) { shard in RecordPrinter(shard: shard) }

  let services = ServiceGroup(
    services: [database, worker],
    gracefulShutdownSignals: [.sigint, .sigterm],
    logger: logger
  )
  try await services.run()
}

func streamSource(named name: String) throws -> (any StreamSource)? {
  // An ARN has colons too.
  let parts = name.split(separator: ":", maxSplits: 1).map(String.init)
  switch parts.first {
  case "kinesis" where parts.count == 2: return try KinesisSource(parts[1])
  case "dynamodb" where parts.count == 2: return try DynamoDBStreamsSource(parts[1])
  default: return nil
  }
}
#else
import Tidemark

await exitOnFailure {
  throw TidemarkError(
    .unsupported,
    "This program was built without the package trait AWS.",
    advice: "Run: swift run --traits AWS AmazonStreams"
  )
}
#endif
