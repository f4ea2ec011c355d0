import Foundation
import Logging
import PostgresClient
import Tidemark
import TidemarkPostgres

/// A fleet of real worker processes over a real table: what the demonstration shows and what fleet tests drive.
public final class DrillFleet: Sendable {
  public let database: String
  public let directory: String
  public let pool: PostgresPool
  public let table: OrdersTable
  public let audit: LeaseAudit
  public let admin: PostgresStreamAdmin
  private let executable: String
  private let options: [String]

  /// Migrates the database and creates the table, its stream and the audit.
  ///
  /// - Parameters:
  ///   - executable: the program `tidemark`, whose subcommand `drill-worker` is a worker.
  ///   - directory: for the workers' histories and logs.
  ///   - options: further arguments of every worker.
  public init(
    database: String,
    executable: String,
    directory: String,
    shards: Int = 4,
    options: [String] = []
  ) async throws {
    self.database = database
    self.executable = executable
    self.directory = directory
    self.options = options
    var logger = Logger(label: "tidemark.drill")
    logger.logLevel = .error
    pool = PostgresPool(try PostgresConfiguration(url: database), maximumConnections: 12, logger: logger)
    table = OrdersTable(pool)
    audit = LeaseAudit(pool)
    admin = PostgresStreamAdmin(pool)
    try await Migrator(pool, logger: logger).migrate()
    try await table.create()
    try await admin.enable(table: "orders", shardCount: shards)
    try await audit.install()
  }

  /// Starts a worker process.
  public func start(_ name: String) throws -> WorkerProcess {
    try WorkerProcess(
      name: name,
      executable: executable,
      arguments: [
        "drill-worker", "--name", name, "--database-url", database, "--history", "\(directory)/\(name).jsonl",
      ] + options,
      log: "\(directory)/\(name).log"
    )
  }

  public func history() throws -> [HistoryEntry] {
    try HistoryFile.entries(inDirectory: directory)
  }

  public func scope() async throws -> LeaseScope {
    LeaseScope(application: "drill", stream: try await PostgresStream("orders", pool: pool).streamName())
  }

  /// What stands in the lease and worker tables, with the owners' names.
  public struct Standing: Sendable {
    public var leases: [Lease]
    public var workers: [WorkerIncarnation: WorkerRecord]

    /// The shards that a worker reads now.
    public func shards(of name: String) -> [String] {
      leases.filter { lease in lease.owner.flatMap { workers[$0] }?.registration.workerID == name }.map(
        \.shardID
      )
    }

    /// Leases that have not ended, by the name of their owner.
    public var countByOwner: [String: Int] {
      leases.filter { !$0.isEnded }.reduce(into: [:]) { counts, lease in
        guard let owner = lease.owner.flatMap({ workers[$0] }) else { return }
        counts[owner.registration.workerID, default: 0] += 1
      }
    }

    /// Every lease that has not ended has an owner, and no worker has two more than another.
    public func isBalanced(among names: [String]) -> Bool {
      let counts = names.map { countByOwner[$0, default: 0] }
      let open = leases.filter { !$0.isEnded }
      return !open.isEmpty && counts.reduce(0, +) == open.count && open.allSatisfy { $0.handoffTo == nil }
        && (counts.max() ?? 0) - (counts.min() ?? 0) <= 1
    }
  }

  public func standing() async throws -> Standing {
    let scope = try await scope()
    let store = PostgresLeaseStore(
      try PostgresConfiguration(url: database),
      pool: pool,
      logger: Logger(label: "tidemark.drill")
    )
    let workers = try await store.workers(in: scope)
    return Standing(
      leases: try await store.leases(in: scope),
      workers: Dictionary(workers.map { ($0.incarnation, $0) }, uniquingKeysWith: { $1 })
    )
  }

  /// Polls until `condition` holds.
  /// - Throws: ``DrillTimeout``.
  public func wait(
    _ what: String,
    within limit: Duration = .seconds(30),
    every interval: Duration = .milliseconds(10),
    until condition: () async throws -> Bool
  ) async throws {
    let deadline = ContinuousClock.now.advanced(by: limit)
    while try await !condition() {
      guard ContinuousClock.now < deadline else { throw DrillTimeout(what: what, limit: limit) }
      try await ContinuousClock().sleep(for: interval)
    }
  }

  /// Waits until everything that was committed was handled.
  public func waitUntilConsumed(within limit: Duration = .seconds(60)) async throws {
    let committed = Set(try await table.journal().values.joined())
    try await wait("every committed change is handled", within: limit, every: .milliseconds(100)) {
      committed.isSubset(of: Set(try history().compactMap(\.change)))
    }
  }

  /// How long after `moment` each of `shards` was read again, by somebody other than `victim`.
  public static func recoveries(
    of shards: [String],
    from victim: String,
    since moment: Int64,
    in history: [HistoryEntry]
  ) -> [String: Duration] {
    var found: [String: Duration] = [:]
    for entry in history where entry.kind == .handled && entry.at >= moment && entry.worker != victim {
      if shards.contains(entry.shard) && found[entry.shard] == nil {
        found[entry.shard] = .microseconds(entry.at - moment)
      }
    }
    return found
  }

  public func check() async throws -> FleetCheck {
    let shards = try await PostgresStream("orders", pool: pool).shards()
    return FleetCheck(
      journal: try await table.journal(),
      history: try history(),
      parents: Dictionary(shards.map { ($0.id, $0.parentIDs) }, uniquingKeysWith: { first, _ in first }),
      audit: try await audit.changes()
    )
  }
}

/// Something that a drill waited for did not happen in time.
public struct DrillTimeout: Error, CustomStringConvertible {
  public var what: String
  public var limit: Duration

  public var description: String { "Not within \(limit): \(what)." }
}
