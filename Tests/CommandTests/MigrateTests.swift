import TestSupport
import Testing
import TidemarkStreams

@Suite("tidemark migrate", .sharesMachine)
struct MigrateTests {
  private struct Migrations: Decodable {
    struct Migration: Decodable {
      var schema: String
      var version: Int
      var name: String
      var appliedAt: String?
    }
    var migrations: [Migration]
  }

  @Test("It migrates to the latest version, and says what there is as a table and as JSON")
  func latest() async throws {
    let tidemark = try await CommandDatabase.make(migrated: false).tidemark
    let before = try await tidemark.run("migrate", "--status")
    #expect(before.table.dropFirst().allSatisfy { $0.last == "-" })
    let text = try await tidemark.run("migrate")
    #expect(text.status == 0)
    #expect(text.table.first == ["SCHEMA", "VERSION", "NAME", "APPLIED"])
    #expect(text.table.dropFirst().allSatisfy { $0.last?.hasSuffix("Z") == true })
    #expect(text.errors.isEmpty)
    let json = try await tidemark.run("migrate", "--status", "--json").decode(Migrations.self)
    #expect(json.migrations.map(\.schema) == ["tidemark_leases", "tidemark"])
    #expect(json.migrations.allSatisfy { $0.version == 1 })
    #expect(json.migrations.allSatisfy { $0.appliedAt != nil })
    #expect(json.migrations.count == text.table.count - 1)
  }

  @Test("It goes to the version that it is given, and back only with a confirmation")
  func version() async throws {
    let tidemark = try await CommandDatabase.make(migrated: false).tidemark
    func applied() async throws -> Int {
      let status = try await tidemark.run("migrate", "--status", "--json").decode(Migrations.self)
      return status.migrations.count { $0.appliedAt != nil }
    }
    #expect(try await tidemark.run("migrate", "--to", "1", "--schema", "streams").status == 0)
    #expect(try await applied() == 1)
    let refused = try await tidemark.run("migrate", "--to", "0")
    #expect(refused.status == 64)
    #expect(refused.errors.contains("--yes"))
    #expect(try await applied() == 1)
    #expect(try await tidemark.run("migrate", "--to", "0", "--yes").status == 0)
    #expect(try await applied() == 0)
    #expect(try await tidemark.run("migrate", "--to", "1").status == 64)
    let unknown = try await tidemark.run("migrate", "--to", "999", "--schema", "leases")
    #expect(unknown.status == 1)
    #expect(unknown.errors.contains("999"))
  }

  @Test("It takes nothing from an enabled stream, and says so in one sentence")
  func enabled() async throws {
    let database = try await CommandDatabase.make()
    try await database.run("CREATE TABLE items (id int PRIMARY KEY)")
    #expect(try await database.tidemark.run("stream", "enable", "items").status == 0)
    let refused = try await database.tidemark.run("migrate", "--to", "0", "--yes", "--schema", "streams")
    #expect(refused.status == 1)
    let name = try await database.describe("items").fullName
    #expect(
      refused.errors == """
        Error: the schema tidemark cannot be taken away from streams that are enabled: \(name).
        Help: Disable them first, by tidemark stream disable; or remove everything: tidemark uninstall.

        """
    )
  }
}
