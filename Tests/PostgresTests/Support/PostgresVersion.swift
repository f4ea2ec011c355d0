import LibPQ
import TestSupport
import Testing

/// The version of the tests' server. Tests run on every version that is supported.
enum PostgresVersion {
  static func isAtLeast(_ major: Int32) async throws -> Bool {
    try await this.value >= major
  }

  private static let this = Task {
    let url = try await TestServer.shared().url(database: "postgres")
    let pool = try StreamDatabase.makePool(url, connections: 1)
    return try await pool.query("SELECT current_setting('server_version_num')::int / 10000")[0]
      .decode(Int32.self)
  }
}

extension Trait where Self == ConditionTrait {
  /// The test is about something that earlier versions of PostgreSQL do not have.
  static func needsPostgres(_ major: Int32) -> Self {
    .enabled("PostgreSQL \(major)") { try await PostgresVersion.isAtLeast(major) }
  }
}
