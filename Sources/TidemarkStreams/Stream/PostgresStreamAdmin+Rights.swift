import PostgresClient
import Tidemark

extension PostgresStreamAdmin {
  /// Gives a role of the database the rights that it needs. Only the owner of the schema may.
  ///
  /// - Parameters:
  ///   - name: The role's name as it is, without quotes.
  ///   - stream: The only stream whose records a consumer may read, with those that are later enabled under its name;
  ///     otherwise all, and later ones.
  public func grant(_ role: PostgresRole, to name: String, stream: String? = nil) async throws {
    _ = try await mappingStreamErrors {
      try await pool.execute(
        "SELECT tidemark.grant_role(\(role.rawValue), \(name), \(stream))"
      )
    }
  }

  /// Takes from a role of the database all rights that it has in the schema. Only the owner of the schema may.
  public func revokeAll(from name: String) async throws {
    _ = try await mappingStreamErrors {
      try await pool.execute("SELECT tidemark.revoke_role(\(name))")
    }
  }
}
