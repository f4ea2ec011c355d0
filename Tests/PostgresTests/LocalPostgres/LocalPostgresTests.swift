import Foundation
import LocalPostgres
import Testing

@Suite struct LocalPostgresTests {
  @Test("The shared server gives each test an empty database of its own")
  func databases() async throws {
    let server = try await TestServer.shared()
    let first = try await server.makeDatabase()
    let second = try await server.makeDatabase()
    #expect(first != second)
  }
}
