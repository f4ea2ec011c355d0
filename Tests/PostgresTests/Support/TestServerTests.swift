import Foundation
import LocalPostgres
import TestSupport
import Testing

@Suite("The tests' own server", .sharesMachine)
struct TestServerTests {
  @Test("Each test gets a database of its own, and its URL leads there")
  func databases() async throws {
    let server = try await TestServer.shared()
    let first = try await server.makeDatabase()
    let second = try await server.makeDatabase()
    #expect(first != second)
    let installation = try await PostgresInstallation.find()
    try await installation.createDatabase("tidemark_test_" + UUID().uuidString, server: first)
    let error = await #expect(throws: LocalPostgresError.self) {
      try await installation.createDatabase("x", server: server.url(database: "no_such_database"))
    }
    #expect(error?.message.contains("no_such_database") == true)
  }
}
