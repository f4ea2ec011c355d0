import LibPQ
import Tidemark

extension TidemarkSchema {
  /// Compares the version that a database has with those that this program works with.
  ///
  /// - Throws: `schemaMismatch` that says what to do if it is none of them.
  func check(on pool: PQPool) async throws {
    let (current, oldestProgram): (Int, Int)
    do {
      (current, oldestProgram) = try await reading(.schema) { try await version(on: pool) }
    } catch let error as TidemarkError where error.code == .permissionDenied {
      // Whoever may not see the version may do nothing: what comes next says which rights that needs.
      return
    }
    if (oldestVersion...latestVersion).contains(current) { return }
    // A newer one says which programs it has left working.
    if current > latestVersion, oldestProgram <= latestVersion { return }
    throw mismatch(with: current)
  }

  /// What ``check(on:)`` throws if the database has another version; `nil` also if it cannot be asked.
  func mismatch(on pool: PQPool) async -> TidemarkError? {
    do {
      try await check(on: pool)
      return nil
    } catch {
      guard let error = error as? TidemarkError, error.code == .schemaMismatch else { return nil }
      return error
    }
  }

  func mismatch(with current: Int) -> TidemarkError {
    let needed = oldestVersion == latestVersion ? "\(latestVersion)" : "\(oldestVersion) to \(latestVersion)"
    return TidemarkError(
      .schemaMismatch,
      current == 0
        ? "The database has no schema \(name)."
        : "The schema \(name) is version \(current); this program needs \(needed).",
      advice: current > latestVersion ? "Update the program." : "Run: tidemark migrate"
    )
  }

  /// The version that a database has, 0 without the schema, and that of the oldest programs which it has left working.
  func version(on database: some PQQueryable) async throws -> (current: Int, oldestProgram: Int) {
    guard try await isSetUp(on: database) else { return (0, 0) }
    return try await database.query(
      """
      SELECT coalesce(max(version), 0)::bigint, coalesce(max(oldest_program), 0)::bigint
      FROM \(identifier: name).migration
      """
    )[0].decode((Int, Int).self)
  }

  /// Not `to_regclass`: it may answer from what the session remembers of before it waited for the lock.
  func isSetUp(on database: some PQQueryable) async throws -> Bool {
    try await database.query(
      "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = \(name) AND tablename = 'migration')"
    )[0].decode(Bool.self)
  }
}
