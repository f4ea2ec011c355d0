import LibPQ
import Tidemark

extension Migrator {
  /// Removes the schema with all that it holds. Nothing happens where it is not.
  ///
  /// Streams have objects outside of their schema, which `PostgresStreamAdmin.dropAll()` removes before.
  ///
  /// - Throws: as ``migrate(to:)``; also if somebody has made objects that depend on the schema's.
  public func remove() async throws {
    guard try await reading(.schema, { try await schema.isSetUp(on: pool) }) else { return }
    try await migrate(to: 0)
    try await writing(.schema) {
      try await pool.transaction { transaction in
        try await transaction.execute("DROP TABLE \(identifier: schema.name).migration")
        try await transaction.execute("DROP SCHEMA \(identifier: schema.name)")
      }
    }
  }

  /// Makes a copy of a database ready, which was restored from a dump or a backup or made from a template, before
  /// anybody uses the schema in it. A second call
  /// is harmless; workers that run are not to be there: they would lose their leases.
  ///
  /// - Returns: what it could not put right; nothing where the schema is not.
  public func afterRestore() async throws -> [DatabaseProblem] {
    guard try await reading(.schema, { try await schema.isSetUp(on: pool) }) else { return [] }
    if try await hasNoRows() {
      return [
        DatabaseProblem(
          subject: "schema \(schema.name)",
          problem: "it was restored without its data, and so knows nothing of its objects",
          remedy:
            "Restore its data, or do without it: DROP SCHEMA \(schema.name) CASCADE. Then: tidemark migrate"
        )
      ]
    }
    try await check()
    return try await writing(.schema) {
      try await pool.query("SELECT * FROM \(identifier: schema.name).after_restore()").map(
        DatabaseProblem.init
      )
    }
  }

  private func hasNoRows() async throws -> Bool {
    try await reading(.schema) {
      try await pool.query(
        """
        SELECT NOT EXISTS (SELECT FROM \(identifier: schema.name).migration)
          AND to_regclass(\(schema.name) || '.history') IS NOT NULL
        """
      )[0].decode(Bool.self)
    }
  }
}
