import Logging
import PostgresClient
import Tidemark

/// Brings the schema `tidemark` of a database to the version that this program needs.
///
/// Each migration is one transaction under one advisory lock, and looks up the version again once it has the
/// lock: any number of workers may start at once.
public struct Migrator: Sendable {
  /// A migration and whether the database has it.
  public struct Status: Sendable, Hashable {
    public var version: Int
    public var name: String
    /// `nil` if it has not been applied.
    public var appliedAt: Timestamp?
  }

  private let pool: PostgresPool
  private let migrations: [Migration]
  private let logger: Logger

  public init(_ pool: PostgresPool, logger: Logger) {
    self.init(pool, migrations: Migration.all, logger: logger)
  }

  init(_ pool: PostgresPool, migrations: [Migration], logger: Logger) {
    self.pool = pool
    self.migrations = migrations
    self.logger = logger
  }

  /// The newest version that this program knows.
  public var latestVersion: Int { migrations.last?.version ?? 0 }

  /// Applies what is missing, or with an older `version` takes back what is too new.
  ///
  /// - Parameter version: the version to end at, 0 for an empty schema; `nil` for the newest. Going back
  ///   deletes what the newer versions store.
  /// - Throws: `unsupported` if the database is newer than this program or there is no such version.
  public func migrate(to version: Int? = nil) async throws {
    let target = version ?? latestVersion
    guard (0...latestVersion).contains(target) else {
      throw TidemarkError(
        .unsupported,
        "There is no version \(target) of the schema.",
        advice: "Choose one from 0 to \(latestVersion)."
      )
    }
    try await mappingErrors {
      while try await pool.transaction({ try await step(to: target, in: $0) }) {}
    }
  }

  /// All migrations that this program knows or the database has, in order.
  public func status() async throws -> [Status] {
    let applied = try await mappingErrors {
      guard try await isSetUp(pool) else { return [Status]() }
      return try await pool.query(
        """
        SELECT version, name, (extract(epoch FROM applied_at) * 1000000)::bigint
        FROM tidemark.migration ORDER BY version
        """
      ).map { row in
        let (version, name, applied) = try row.decode((Int32, String, Int64).self)
        return Status(
          version: Int(version),
          name: name,
          appliedAt: Timestamp(microsecondsSinceEpoch: applied)
        )
      }
    }
    let versions = Set(applied.map(\.version))
    let missing = migrations.filter { !versions.contains($0.version) }.map {
      Status(version: $0.version, name: $0.name, appliedAt: nil)
    }
    return (applied + missing).sorted { $0.version < $1.version }
  }

  /// Goes one version towards `target`.
  ///
  /// - Returns: whether there was a step to take.
  private func step(to target: Int, in transaction: PostgresTransaction) async throws -> Bool {
    _ = try await transaction.query("SELECT pg_advisory_xact_lock(\(Self.lock))")
    try await setUp(in: transaction)
    let rows = try await transaction.query("SELECT coalesce(max(version), 0)::bigint FROM tidemark.migration")
    let current = try rows[0].decode(Int.self)
    guard current <= latestVersion else {
      throw TidemarkError(
        .unsupported,
        "The database's schema has version \(current); this program knows versions up to \(latestVersion).",
        advice: "Update the program."
      )
    }
    if current == target { return false }
    if current < target {
      let migration = migrations[current]
      logger.info("Migrating up", metadata: ["version": "\(migration.version)", "name": "\(migration.name)"])
      try await run(migration.up, in: transaction)
      try await transaction.execute(
        """
        INSERT INTO tidemark.migration (version, name) VALUES (\(Int32(migration.version)), \(migration.name))
        """
      )
    } else {
      let migration = migrations[current - 1]
      logger.info(
        "Migrating down",
        metadata: ["version": "\(migration.version)", "name": "\(migration.name)"]
      )
      try await run(migration.down, in: transaction)
      try await transaction.execute(
        "DELETE FROM tidemark.migration WHERE version = \(Int32(migration.version))"
      )
    }
    return true
  }

  private func run(_ script: String, in transaction: PostgresTransaction) async throws {
    try await transaction.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    try await transaction.executeScript(script)
  }

  /// Creates what migrations are noted in. Asks first: CREATE … IF NOT EXISTS takes privileges that a worker's
  /// role need not have.
  private func setUp(in transaction: PostgresTransaction) async throws {
    if try await isSetUp(transaction) { return }
    _ = try await transaction.pipeline([
      "CREATE SCHEMA IF NOT EXISTS tidemark",
      """
      CREATE TABLE tidemark.migration (
        version integer PRIMARY KEY,
        name text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )
      """,
    ])
  }

  /// Not `to_regclass`: it may answer from what the session remembers of before it waited for the lock.
  private func isSetUp(_ database: some PostgresQueryable) async throws -> Bool {
    try await database.query(
      "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'tidemark' AND tablename = 'migration')"
    )[0].decode(Bool.self)
  }

  /// "migrate" in ASCII.
  private static let lock: Int64 = 0x6d69_6772_6174_6500
}
