import Foundation
import LibPQ
import Logging
import Synchronization
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// A fleet of real worker processes over a real table: what the demonstration shows and what fleet tests drive.
package final class DrillFleet: Sendable {
  package let database: String
  /// The database that the leases are in, if it is another one.
  private let leases: String?
  package let directory: String
  package let pool: PQPool
  /// Of the database with the leases.
  package let leasePool: PQPool
  package let table: OrdersTable
  package let audit: LeaseAudit
  package let admin: PostgresStreamAdmin
  /// What the workers write down.
  let follower: HistoryFollower
  private let executable: String
  private let options: [String]
  private let processes = Mutex<[WorkerProcess]>([])

  /// Migrates the database and creates the table, its stream and the audit.
  ///
  /// - Parameters:
  ///   - executable: the program `tidemark`, whose subcommand `drill-worker` is a worker.
  ///   - directory: for the workers' histories and logs.
  ///   - leases: another database that the leases shall be in.
  ///   - options: further arguments of every worker.
  package init(
    database: String,
    leases: String? = nil,
    executable: String,
    directory: String,
    shards: Int = 4,
    options: [String] = []
  ) async throws {
    self.database = database
    self.leases = leases
    self.executable = executable
    self.directory = directory
    self.options = options
    follower = HistoryFollower(directory: directory)
    var logger = Logger(label: "tidemark.drill")
    logger.logLevel = .error
    pool = PQPool(try PQConfiguration(url: database), maximumConnections: 12, logger: logger)
    leasePool =
      if let leases {
        PQPool(try PQConfiguration(url: leases), maximumConnections: 4, logger: logger)
      } else {
        pool
      }
    table = OrdersTable(pool)
    audit = LeaseAudit(leasePool)
    admin = PostgresStreamAdmin(pool)
    try await Migrator(leasePool, schema: .leases, logger: logger).migrate()
    try await Migrator(pool, schema: .streams, logger: logger).migrate()
    try await table.create()
    try await admin.enable(table: "orders", shardCount: shards)
    try await audit.install()
  }

  /// Starts a worker process.
  /// - Parameters:
  ///   - launcher: a command that runs the worker's, which it is put before.
  ///   - more: further arguments of this worker.
  package func start(_ name: String, launcher: [String] = [], options more: [String] = []) throws
    -> WorkerProcess
  {
    let arguments = ["drill-worker", "--name", name, "--history", "\(directory)/\(name).jsonl"]
    let process = try WorkerProcess(
      name: name,
      command: launcher + [executable] + arguments + options + more,
      database: database,
      leases: leases,
      log: "\(directory)/\(name).log"
    )
    processes.withLock { $0.append(process) }
    return process
  }

  /// Leaves no worker behind, whatever happened.
  package func killAll() {
    for process in processes.withLock({ $0 }) where process.isRunning { process.crash() }
  }

  /// Ends the workers with SIGTERM, one after the other.
  /// - Returns: the names of those that did not end in good order.
  package func endWorkers() async throws -> [String] {
    var disorderly: [String] = []
    for process in processes.withLock({ $0 }) where process.isRunning {
      process.terminate()
      try await process.waitUntilExit()
      if process.exitStatus != 0 { disorderly.append(process.name) }
    }
    return disorderly
  }

  /// Everything that the workers wrote down, in the order of time.
  package func history() throws -> [HistoryEntry] {
    try follower.entries()
  }

  package let scope = LeaseScope(application: "drill")

  /// Waits until the server has ended the session that says that a worker lives.
  /// - Returns: when, as ``HistoryEntry/at``.
  func sessionEnd(of name: String) async throws -> Int64 {
    try await wait("the server ends the session of \(name)") {
      let rows = try await leasePool.query(
        """
        SELECT count(*) FROM tidemark_leases.worker AS w
        JOIN pg_locks AS l ON l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock'
          AND (l.classid::bigint << 32) | l.objid::bigint = w.session_key
        WHERE w.worker_id = \(name)
        """
      )
      return try rows[0].decode(Int.self) == 0
    }
    return HistoryEntry.now()
  }

  /// What is in the lease and worker tables, with the owners' names.
  package struct Standing: Sendable {
    package var leases: [Lease]
    package var workers: [WorkerIncarnation: WorkerRecord]

    /// Leases that have not ended.
    package var open: [Lease] { leases.filter { !$0.isEnded } }

    /// The shards that a worker reads now.
    package func shards(of name: String) -> [String] {
      leases.filter { lease in lease.owner.flatMap { workers[$0] }?.registration.workerID == name }.map(
        \.shardID
      )
    }

    /// Leases that have not ended, by the name of their owner.
    package var countByOwner: [String: Int] {
      open.reduce(into: [:]) { counts, lease in
        guard let owner = lease.owner.flatMap({ workers[$0] }) else { return }
        counts[owner.registration.workerID, default: 0] += 1
      }
    }

    /// Every lease that has not ended is owned by one of these workers and stays there: none has two more than
    /// another, or by the measured loads there is nothing to move.
    package func isBalanced(among names: [String]) -> Bool {
      let counts = names.map { countByOwner[$0, default: 0] }
      guard !open.isEmpty, counts.reduce(0, +) == open.count, open.allSatisfy({ $0.handoffTo == nil }) else {
        return false
      }
      return (counts.max() ?? 0) - (counts.min() ?? 0) <= 1 || hasNothingToMove(among: names)
    }

    private func hasNothingToMove(among names: [String]) -> Bool {
      let living = workers.values.filter { $0.state == .active }
      guard living.count == names.count, names.allSatisfy({ countByOwner[$0] != nil }) else { return false }
      let fleet = living.map {
        FleetSnapshot.Worker(incarnation: $0.incarnation, streams: $0.registration.streams)
      }
      return AssignmentPlanner().plan(FleetSnapshot(workers: fleet, leases: leases)).isEmpty
    }
  }

  package func standing() async throws -> Standing {
    let store = PostgresLeaseStore(
      try PQConfiguration(url: leases ?? database),
      pool: leasePool,
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
  package nonisolated(nonsending) func wait(
    _ what: String,
    within limit: Duration = .seconds(120),
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
  package func waitUntilConsumed(within limit: Duration = .seconds(300)) async throws {
    let committed = Set(try await table.journal().values.joined())
    try await wait("every committed change is handled", within: limit, every: .milliseconds(100)) {
      committed.isSubset(of: Set(try history().compactMap(\.change)))
    }
  }

  /// How long after `moment` each of `shards` was read again, by somebody other than `victim`.
  package static func recoveries(
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

  package func check() async throws -> FleetCheck {
    let shards = try await PostgresStream("orders", pool: pool).shards()
    return FleetCheck(
      journal: try await table.journal(),
      history: try history(),
      parents: Dictionary(shards.map { ($0.id, $0.parentIDs) }, uniquingKeysWith: { first, _ in first }),
      audit: try await audit.changes()
    )
  }
}
