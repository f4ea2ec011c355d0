import LibPQ
import Tidemark
import TidemarkPostgres

extension PostgresStreamAdmin {
  /// Gives a role of the database the rights that it needs. Only the owner of the schema may.
  ///
  /// - Parameters:
  ///   - name: The role's name as it is, without quotes.
  ///   - stream: The name of the only streams that the rights are for, or a pattern in which `*` stands for any
  ///     characters. It need not exist yet.
  ///   - application: The same for the applications that a consumer or a monitor is for.
  public func grant(_ role: PostgresRole, to name: String, stream: String = "*", application: String = "*")
    async throws
  {
    _ = try await writing(.schema) {
      try await pool.execute(
        "SELECT tidemark.grant_role(\(role.rawValue), \(name), \(stream), \(application))"
      )
    }
  }

  /// Takes from a role of the database all rights that it has in the schema. Only the owner of the schema may.
  public func revokeAll(from name: String) async throws {
    _ = try await writing(.schema) {
      try await pool.execute("SELECT tidemark.revoke_role(\(name))")
    }
  }
}
