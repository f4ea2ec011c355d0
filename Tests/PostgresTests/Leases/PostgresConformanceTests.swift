import TestSupport
import Testing
import TidemarkTestKit

@Suite("The PostgreSQL lease store does what every lease store must", .sharesMachine, .serialized)
struct PostgresConformanceTests {
  @Test(arguments: LeaseStoreConformance.cases)
  func conforms(_ test: LeaseStoreConformance.Case) async throws {
    try await test.run(in: LeaseDatabase.shared())
  }
}

@Suite("PQTransaction does what every transaction with a checkpoint must", .sharesMachine)
struct PQTransactionConformanceTests {
  @Test(arguments: CheckpointTransactionConformance.cases)
  func conforms(_ test: CheckpointTransactionConformance.Case) async throws {
    try await test.run(in: LeaseDatabase.shared())
  }
}
