import LibPQ
import Testing

@testable import TidemarkPostgres

/// Roles of a test's own, which can log in. Roles are the whole server's, so their names are random.
struct StreamRoles: Sendable {
  let database: StreamDatabase
  private let suffix = String(UInt64.random(in: 0 ... .max), radix: 36)

  func name(_ role: String) -> String { "tidemark_\(role)_\(suffix)" }

  func create(_ role: String) async throws {
    try await database.run("CREATE ROLE \(name(role)) LOGIN PASSWORD 'secret'")
  }

  func url(_ role: String) -> String {
    database.url.replacing(/\/\/[^@\/]*@/, with: "//\(name(role)):secret@")
  }

  func pool(_ role: String) throws -> PQPool {
    try StreamDatabase.makePool(url(role), connections: 3)
  }

  /// Tries each statement as the role.
  func expectDenied(_ statements: [String], to role: String) async throws {
    let pool = try pool(role)
    for statement in statements {
      let error = await #expect(throws: PQError.self, "\(role): \(statement)") {
        try await pool.withConnection { try await $0.executeScript(statement) }
      }
      #expect(error?.sqlState == "42501", "\(role): \(statement): \(String(describing: error))")
    }
    await pool.close()
  }

  func drop(_ roles: String...) async throws {
    for role in roles { try await database.run("DROP OWNED BY \(name(role)) CASCADE") }
    for role in roles { try await database.run("DROP ROLE \(name(role))") }
  }
}
