import LibPQ
import Tidemark

extension PostgresLeaseStore {
  /// What a role of the database may be allowed to do with leases, apart from the schema's owner, who may do all.
  public enum Role: String, Sendable, Hashable, CaseIterable {
    /// Keeps the leases and dead letters of its applications, as a worker does.
    case consumer
    /// Sees leases and workers, and how many dead letters there are.
    case monitor
  }

  /// Gives a role of the database rights to the leases of applications on streams. Only the owner of the schema may.
  ///
  /// - Parameters:
  ///   - name: The role's name as it is, without quotes.
  ///   - application: The application's name, or a pattern in which `*` stands for any characters.
  ///   - stream: The same for the stream's.
  public func grant(_ role: Role, to name: String, application: String = "*", stream: String = "*")
    async throws
  {
    _ = try await writing(.schema) {
      try await pool.execute(
        "SELECT tidemark_leases.grant_role(\(role.rawValue), \(name), \(application), \(stream))"
      )
    }
  }

  /// Takes from a role of the database all rights that it has in the schema. Only the owner of the schema may.
  public func revokeAll(from name: String) async throws {
    _ = try await writing(.schema) {
      try await pool.execute("SELECT tidemark_leases.revoke_role(\(name))")
    }
  }
}
