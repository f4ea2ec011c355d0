import LibPQ
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
    let connection = try await connect(PQConfiguration(url: first))
    #expect(first.contains(try await connection.value("SELECT current_database()", as: String.self)))
    let error = try await postgresError {
      _ = try await connect(PQConfiguration(url: server.url(database: "no_such_database")))
    }
    #expect(error.message.contains("no_such_database"))
  }
}
