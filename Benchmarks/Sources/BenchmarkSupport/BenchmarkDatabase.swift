import LibPQ
import LocalPostgres
import Logging
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// A migrated database on a private server, set up so that a run measures the protocol and not the server's
/// housekeeping: no checkpoint falls into it, which would write whole pages to the log.
package struct BenchmarkDatabase {
  package let url: String
  package let configuration: PQConfiguration
  package let pool: PQPool
  package let store: PostgresLeaseStore

  package static var logger: Logger {
    var logger = Logger(label: "benchmark")
    logger.logLevel = .error
    return logger
  }

  /// - Parameter settings: of the server, besides the usual ones.
  package static func with(
    connections: Int = 4,
    settings: [String: String] = [:],
    _ body: (BenchmarkDatabase) async throws -> Void
  ) async throws {
    var server = LocalPostgresConfiguration()
    server.settings = [
      "checkpoint_timeout": "1h", "max_wal_size": "16GB", "shared_buffers": "1GB",
      // What the prototype in C was measured with; it makes an update's record in the log larger.
      "wal_level": "logical",
    ].merging(settings) { $1 }
    try await withLocalPostgres(server) { server in
      let configuration = try PQConfiguration(url: server.url())
      let pool = PQPool(
        configuration,
        maximumConnections: connections,
        acquireTimeout: .seconds(60),
        logger: logger
      )
      try await Migrator.migrateAll(pool, logger: logger)
      let store = PostgresLeaseStore(configuration, pool: pool, logger: logger)
      try await body(
        BenchmarkDatabase(url: server.url(), configuration: configuration, pool: pool, store: store)
      )
      await pool.close()
    }
  }

  // MARK: What the server has done

  /// How many bytes of write-ahead log there are so far.
  package func logPosition() async throws -> Int {
    try await pool.query("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")[0].decode(Int.self)
  }

  /// The transaction id that the next writer gets.
  package func nextTransaction() async throws -> Int64 {
    try await pool.query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0]
      .decode(Int64.self)
  }

  /// How many rows of the lease tables were written since; a row that was written twice counts once.
  package func rowsWritten(since transaction: Int64) async throws -> Int {
    try await pool.query(
      """
      SELECT (SELECT count(*) FROM tidemark_leases.worker WHERE xmin::text::bigint >= \(transaction))
        + (SELECT count(*) FROM tidemark_leases.lease WHERE xmin::text::bigint >= \(transaction))
        + (SELECT count(*) FROM tidemark_leases.lease_scope WHERE xmin::text::bigint >= \(transaction))
        + (SELECT count(*) FROM tidemark_leases.lease_load WHERE xmin::text::bigint >= \(transaction))
      """
    )[0].decode(Int.self)
  }

  package struct TableSize {
    package var table: String
    package var heap: Int
    package var indexes: Int
  }

  /// The sizes of the tables that renewal writes to, in bytes.
  package func tableSizes() async throws -> [TableSize] {
    try await pool.query(
      """
      SELECT relname::text, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
      WHERE relnamespace = 'tidemark_leases'::regnamespace AND relkind = 'r'
        AND relname IN ('worker', 'lease', 'lease_scope', 'lease_load')
      ORDER BY relname
      """
    ).map { row in
      let (table, heap, indexes) = try row.decode((String, Int, Int).self)
      return TableSize(table: table, heap: heap, indexes: indexes)
    }
  }

  /// The server's main process.
  package func serverProcess() async throws -> Int {
    let text = try await pool.query("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")[0]
      .decode(String.self)
    return Int(text) ?? 0
  }
}
