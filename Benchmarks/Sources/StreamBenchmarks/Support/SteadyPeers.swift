import BenchmarkSupport
import Foundation
import LibPQ
import LocalPostgres

/// What the same changes are taken by in the same run: PgQ and pg_recvlogical, as Debian has them.
struct SteadyPeers {
  private let database: BenchmarkDatabase
  let hasPgQ: Bool
  let hasReceiver: Bool
  private let receiver: String
  private static let ticker = "/usr/bin/pgqd"

  init(_ database: BenchmarkDatabase) async throws {
    self.database = database
    let extensions = try await database.pool.query(
      "SELECT FROM pg_available_extensions WHERE name = 'pgq'"
    )
    hasPgQ = !extensions.isEmpty && FileManager.default.isExecutableFile(atPath: Self.ticker)
    receiver = try await PostgresInstallation.find().binaryDirectory + "/pg_recvlogical"
    hasReceiver = FileManager.default.isExecutableFile(atPath: receiver)
  }

  func explain() {
    if !hasPgQ { print("  Without PgQ: apt-get install postgresql-15-pgq3 pgqd") }
    if !hasReceiver { print("  Without pg_recvlogical: there is no \(receiver)") }
  }

  // MARK: PgQ

  /// Up to twenty ticks a second, and a consumer that fetches each batch.
  func withPgQ<Result>(_ body: (@escaping @Sendable () async throws -> Void) async throws -> Result)
    async throws
    -> Result
  {
    let pool = database.pool
    for statement in [
      "CREATE EXTENSION IF NOT EXISTS pgq", "SELECT pgq.create_queue('item')",
      "SELECT pgq.set_queue_config('item', 'ticker_max_lag', '50 milliseconds')",
      "SELECT pgq.register_consumer('item', 'reader')",
      """
      CREATE TRIGGER "pgq" AFTER INSERT OR UPDATE OR DELETE ON item
      FOR EACH ROW EXECUTE FUNCTION pgq.jsontriga('item')
      """,
    ] as [PQStatement] {
      _ = try await pool.query(statement)
    }
    let file = FileManager.default.temporaryDirectory.appending(path: "tidemark-\(UUID().uuidString).ini")
    let settings = """
      [pgqd]
      base_connstr = \(database.url)
      initial_database = postgres
      database_list = \(try await pool.query("SELECT current_database()")[0].decode(String.self))
      ticker_period = 0.05
      syslog = 0

      """
    try Data(settings.utf8).write(to: file)
    let ticker = try start(Self.ticker, [file.path])
    defer {
      end(ticker)
      try? FileManager.default.removeItem(at: file)
    }
    let result = try await body {
      while true {
        try Task.checkCancellation()
        let batch = try await pool.query("SELECT pgq.next_batch('item', 'reader')")[0].decode(Int64?.self)
        guard let batch else {
          try await ContinuousClock().sleep(for: .milliseconds(25))
          continue
        }
        _ = try await pool.query("SELECT * FROM pgq.get_batch_events(\(batch))")
        _ = try await pool.query("SELECT pgq.finish_batch(\(batch))")
      }
    }
    for statement in [
      "DROP TRIGGER \"pgq\" ON item", "SELECT pgq.unregister_consumer('item', 'reader')",
      "SELECT pgq.drop_queue('item')",
    ] as [PQStatement] {
      _ = try await pool.query(statement)
    }
    return result
  }

  // MARK: pg_recvlogical

  func withReceiver<Result>(_ body: (Int) async throws -> Result) async throws -> Result {
    let pool = database.pool
    _ = try await pool.query("CREATE PUBLICATION peer FOR TABLE item")
    _ = try await pool.query("SELECT pg_create_logical_replication_slot('peer', 'pgoutput')")
    let process = try start(
      receiver,
      [
        "--dbname=\(database.url)", "--slot=peer", "--start", "--file=/dev/null", "--option=proto_version=1",
        "--option=publication_names=peer",
      ]
    )
    let result = try await body(Int(process.processIdentifier))
    end(process)
    while try await pool.query("SELECT FROM pg_replication_slots WHERE slot_name = 'peer' AND active").count
      > 0
    {
      try await ContinuousClock().sleep(for: .milliseconds(20))
    }
    _ = try await pool.query("SELECT pg_drop_replication_slot('peer')")
    _ = try await pool.query("DROP PUBLICATION peer")
    return result
  }

  /// Threads of the concurrency runtime block other signals, and what they start does, too.
  private func end(_ process: Process) {
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  private func start(_ program: String, _ arguments: [String]) throws -> Process {
    let process = Process()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }
}
