import LibPQ
import Logging
import Tidemark

/// Brings a schema of a database to the version that this program needs.
///
/// Each migration is one transaction. Any number of programs may start at once: the first locks the table of migrations,
/// and the others find its work done.
public struct Migrator: Sendable {
  /// A migration and whether the database has it.
  public struct Status: Sendable, Hashable {
    public var version: Int
    public var name: String
    /// `nil` if it has not been applied.
    public var appliedAt: Timestamp?
  }

  let pool: PQPool
  let schema: TidemarkSchema
  let logger: Logger
  /// For how long it tries to get the locks that a migration needs.
  package var patience = Duration.seconds(30)

  public init(_ pool: PQPool, schema: TidemarkSchema, logger: Logger) {
    self.pool = pool
    self.schema = schema
    self.logger = logger
  }

  /// The newest version that this program knows.
  public var latestVersion: Int { schema.latestVersion }

  /// Applies what is missing, or with an older `version` takes back what is too new.
  ///
  /// - Parameter version: the version to end at, 0 for an empty schema; `nil` for the newest. Going back
  ///   deletes what the newer versions store. A newer program's is left as it is if this one works with it, and no
  ///   version is named.
  /// - Throws: `schemaMismatch` if the database is newer than this program; `unsupported` if there is no such version, if
  ///   the schema belongs to another role or has objects of others, or if streams use what would be taken from them;
  ///   `sourceUnavailable` that names the sessions with the locks that the migration needs.
  public func migrate(to version: Int? = nil) async throws {
    if let version, !(0...latestVersion).contains(version) {
      throw TidemarkError(
        .unsupported,
        "There is no version \(version) of the schema \(schema.name).",
        advice: "Choose one from 0 to \(latestVersion)."
      )
    }
    // A role that may not migrate finds out here that it need not. A superuser's word is worth more: somebody else's schema
    // may only look like it.
    let (current, oldestProgram) = try await reading(.schema) { try await schema.version(on: pool) }
    if isThere(current, oldestProgram, version), try await !isSuperuser() { return }
    try await writing(.schema) {
      try await setUp()
      while try await locks.taking({ try await pool.transaction { try await step(to: version, in: $0) } }) {}
    }
  }

  /// How long a migration waits for a lock. Whoever comes after it waits as long, writers too; between two attempts
  /// nobody does.
  static let lockTimeout = "500ms"

  private var locks: PatientLock {
    PatientLock(
      purpose: "The migration of the schema \(schema.name)",
      lock: "its locks",
      holding: "the schema is used by",
      refusals: ["55P03", "40P01", "40001"],
      patience: patience,
      logger: logger,
      holders: { [schema, pool] in try await LockHolder.of(schema: schema.name, on: pool) }
    )
  }

  /// The version that the database has; 0 without the schema.
  public func currentVersion() async throws -> Int {
    try await reading(.schema) { try await schema.version(on: pool).current }
  }

  /// Compares the version that the database has with those that this program works with.
  ///
  /// - Throws: `schemaMismatch` that says what to do if it is none of them.
  public func check() async throws { try await schema.check(on: pool) }

  /// All migrations that this program knows or the database has, in order.
  public func status() async throws -> [Status] {
    let applied = try await reading(.schema) {
      guard try await schema.isSetUp(on: pool) else { return [Status]() }
      return try await pool.query(
        """
        SELECT version, name, (extract(epoch FROM applied_at) * 1000000)::bigint
        FROM \(identifier: schema.name).migration ORDER BY version
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
    let missing = schema.migrations.filter { !versions.contains($0.version) }.map {
      Status(version: $0.version, name: $0.name, appliedAt: nil)
    }
    return (applied + missing).sorted { $0.version < $1.version }
  }

  /// Whether nothing is to be done for a version, or for the newest.
  private func isThere(_ current: Int, _ oldestProgram: Int, _ version: Int?) -> Bool {
    if let version { return current == version }
    return current == latestVersion || current > latestVersion && oldestProgram <= latestVersion
  }

  /// Goes one version towards `version`, or towards the newest.
  ///
  /// - Returns: whether there was a step to take.
  private func step(to version: Int?, in transaction: PQTransaction) async throws -> Bool {
    try await checkOwnership(in: transaction)
    try await transaction.execute(
      "LOCK TABLE \(identifier: schema.name).migration IN SHARE ROW EXCLUSIVE MODE"
    )
    try await transaction.executeScript("SET LOCAL lock_timeout = '\(Self.lockTimeout)'")
    let (current, oldestProgram) = try await schema.version(on: transaction)
    if isThere(current, oldestProgram, version) { return false }
    guard current <= latestVersion else { throw schema.mismatch(with: current) }
    if current < version ?? latestVersion {
      let migration = schema.migrations[current]
      log("Migrating up", migration)
      try await run(migration.up, in: transaction)
      try await transaction.execute(
        """
        INSERT INTO \(identifier: schema.name).migration (version, name, oldest_program)
        VALUES (\(Int32(migration.version)), \(migration.name), \(Int32(migration.oldestProgram)))
        """
      )
    } else {
      let migration = schema.migrations[current - 1]
      log("Migrating down", migration)
      try await run(migration.down, in: transaction)
      try await transaction.execute(
        "DELETE FROM \(identifier: schema.name).migration WHERE version = \(Int32(migration.version))"
      )
    }
    return true
  }

  private func log(_ message: Logger.Message, _ migration: Migration) {
    logger.info(
      message,
      metadata: [
        "schema": "\(schema.name)", "version": "\(migration.version)", "name": "\(migration.name)",
      ]
    )
  }

  private func run(_ script: String, in transaction: PQTransaction) async throws {
    try await transaction.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    try await transaction.executeScript(script)
  }

  /// Creates what migrations are noted in, in one transaction with the schema itself.
  private func setUp() async throws {
    while true {
      do {
        try await pool.transaction { transaction in
          // In this order: the two come in one transaction.
          let isThere = try await exists(transaction)
          if try await schema.isSetUp(on: transaction) { return }
          if isThere {
            try await checkOwnership(in: transaction)
            try await checkIsEmpty(in: transaction)
          } else {
            try await transaction.execute("CREATE SCHEMA \(identifier: schema.name)")
          }
          try await transaction.execute(
            """
            CREATE TABLE \(identifier: schema.name).migration (
              version integer PRIMARY KEY,
              name text NOT NULL,
              oldest_program integer NOT NULL,
              applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """
          )
        }
        return
      } catch let error as PQError where Self.isTakenMeanwhile(error) {
        // Another program has made it, or makes it now.
        continue
      }
    }
  }

  private static func isTakenMeanwhile(_ error: PQError) -> Bool {
    // duplicate_schema, duplicate_table, and the unique indexes of the catalog.
    ["42P06", "42P07", "23505"].contains(error.sqlState)
  }

  /// Refuses a schema in which others have a say: what they define there would run with this role's rights.
  private func checkOwnership(in transaction: PQTransaction) async throws {
    let (owner, caller, creator) = try await transaction.query(
      """
      SELECT pg_get_userbyid(n.nspowner)::text, current_user::text, (
          SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
          FROM aclexplode(n.nspacl) AS a
          WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner LIMIT 1)
      FROM pg_namespace AS n WHERE n.nspname = \(schema.name)
      """
    )[0].decode((String, String, String?).self)
    guard owner == caller else {
      throw TidemarkError(
        .unsupported,
        "The schema \(schema.name) belongs to the role \"\(owner)\", and this is \"\(caller)\".",
        advice:
          "Run tidemark migrate as \"\(owner)\". If that role is not the one that keeps Tidemark here, "
          + "find out why it has made the schema, and drop it."
      )
    }
    if let creator {
      throw TidemarkError(
        .unsupported,
        "\(creator) may create objects in the schema \(schema.name).",
        advice: "REVOKE CREATE ON SCHEMA \(schema.name) FROM \(creator), and look at what is in there."
      )
    }
    if let stranger = try await stranger(in: transaction) {
      throw TidemarkError(
        .unsupported,
        "The schema \(schema.name) has an object of another role: \(stranger).",
        advice: "Find out why it is there, and drop it."
      )
    }
  }

  /// Only functions that capture belong to other roles: to the owners of the tables.
  private func stranger(in transaction: PQTransaction) async throws -> String? {
    try await transaction.query(
      """
      SELECT pg_describe_object(o.class, o.id, 0) || ' of ' || quote_ident(pg_get_userbyid(o.owner)) FROM (
        SELECT 'pg_class'::regclass::oid, c.oid, c.relowner, c.relnamespace FROM pg_class AS c
        UNION ALL
        SELECT 'pg_proc'::regclass::oid, p.oid, p.proowner, p.pronamespace FROM pg_proc AS p
          WHERE p.proname !~ '^(capture|truncate|copy)_[0-9]+$'
        UNION ALL
        SELECT 'pg_type'::regclass::oid, t.oid, t.typowner, t.typnamespace FROM pg_type AS t
        UNION ALL
        SELECT 'pg_operator'::regclass::oid, o.oid, o.oprowner, o.oprnamespace FROM pg_operator AS o
      ) AS o (class, id, owner, namespace)
      JOIN pg_namespace AS n ON n.oid = o.namespace
      WHERE n.nspname = \(schema.name) AND o.owner <> n.nspowner LIMIT 1
      """
    ).first?.decode(String.self)
  }

  private func checkIsEmpty(in transaction: PQTransaction) async throws {
    let object = try await transaction.query(
      """
      SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend AS d
      WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = (
        SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = \(schema.name)) LIMIT 1
      """
    ).first?.decode(String.self)
    guard let object else { return }
    throw TidemarkError(
      .unsupported,
      "The schema \(schema.name) is there already and is not Tidemark's: it has the \(object).",
      advice: "Tidemark needs this name. Rename that schema, or drop it."
    )
  }

  private func isSuperuser() async throws -> Bool {
    try await reading(.schema) {
      try await pool.query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0].decode(Bool.self)
    }
  }

  private func exists(_ transaction: PQTransaction) async throws -> Bool {
    try await transaction.query(
      "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = \(schema.name))"
    )[0].decode(Bool.self)
  }
}
