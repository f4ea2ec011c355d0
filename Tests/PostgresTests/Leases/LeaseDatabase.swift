import LibPQ
import Logging
import TestSupport
import Tidemark
import TidemarkPostgres
import TidemarkTestKit

/// A migrated database of its own on the tests' server.
struct LeaseDatabase: CheckpointTransactionEnvironment {
  let failoverInterval = Duration.seconds(1)
  let url: String
  let configuration: PQConfiguration
  let pool: PQPool

  /// One for all cases that keep to a scope of their own.
  static func shared() async throws -> LeaseDatabase {
    try await made.value
  }

  private static let made = Task { try await LeaseDatabase() }

  init() async throws {
    url = try await TestServer.shared().makeDatabase()
    configuration = try PQConfiguration(url: url)
    pool = PQPool(configuration, logger: Self.logger)
    try await Migrator(pool, schema: TidemarkSchema.leases.underTest, logger: Self.logger).migrate()
    try await pool.execute("CREATE TABLE effect (name text)")
  }

  static var logger: Logger {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }

  func makeStore() -> any LeaseStore {
    PostgresLeaseStore(configuration, pool: pool, logger: Self.logger)
  }

  func pass(_ duration: Duration) async throws {
    try await Task.sleep(for: duration)
  }

  func killSession(of incarnation: WorkerIncarnation) async throws {
    try await pool.execute(
      """
      SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
      WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint << 32 | objid::bigint = (
          SELECT session_key FROM tidemark_leases.worker WHERE incarnation = \(incarnation.number))
      """
    )
  }

  /// As workers see a restart: their sessions are gone, and the server is not the one that they were on.
  func restartServer(in scope: LeaseScope) async throws {
    let rows = try await pool.query(
      """
      UPDATE tidemark_leases.worker SET server_started_at = server_started_at - interval '1 hour'
      WHERE application = \(scope.application) RETURNING incarnation
      """
    )
    for row in rows {
      try await killSession(of: WorkerIncarnation(row.decode("incarnation", as: Int64.self)))
    }
  }

  func deadLetters(of key: LeaseKey, in scope: LeaseScope) async throws -> [String] {
    try await pool.query(
      """
      SELECT sequence_number FROM tidemark_leases.dead_letter
      WHERE application = \(scope.application) AND stream = \(key.stream) AND shard_id = \(key.shardID)
      ORDER BY tidemark_leases.checkpoint_rank(sequence_number)
      """
    ).map { try $0.decode("sequence_number", as: String.self) }
  }

  // MARK: Transactions

  let confirmsCommits = true

  func transaction(
    writing effect: String,
    _ body: @escaping @Sendable (any CheckpointTransaction) async throws -> Void
  ) async throws {
    try await pool.transaction { transaction in
      try await transaction.execute("INSERT INTO effect VALUES (\(effect))")
      try await body(transaction)
    }
  }

  func hasCommitted(_ effect: String) async throws -> Bool {
    try await pool.query("SELECT EXISTS (SELECT FROM effect WHERE name = \(effect))")[0].decode()
  }
}
