import FleetDrill
import Foundation
import LibPQ
import LocalPostgres
import Synchronization
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// One server, one table, one fleet, from the first row to the judgement.
final class Round: Sendable {
  /// How long after the last progress a round that is to come to rest is given up.
  static let patience = Duration.seconds(30)

  /// A stream of the table, for as long as it was captured without a break.
  struct Era: Sendable {
    var stream: String
    var span: LogJudge.Span
  }

  struct State {
    var server: LocalPostgres
    var standby: LocalPostgres?
    var url: String
    var pool: PQPool
    var eras: [Era] = []
    /// What was handled before this moment may have been lost with a server.
    var lossesUntil: Int64 = 0
    var faults: [Ingredient: Int] = [:]
    var violations: [Violation] = []
    var arrivals = 0
    /// Another server or database is taking the place of the one before.
    var isMoving = false
    /// Snapshots whose table somebody wanted for himself meanwhile, and got.
    var disturbances = 0
    /// Of workers that ended by themselves.
    var lastWords: Set<String> = []
  }

  let plan: RoundPlan
  let settings: Settings
  let directory: String
  let fleet: Fleet
  let gate: WriterGate
  let state: Mutex<State>

  var pool: PQPool { state.withLock(\.pool) }
  var table: ItemTable { ItemTable(pool: pool) }
  var admin: PostgresStreamAdmin { PostgresStreamAdmin(pool, logger: Settings.logger) }

  private init(
    plan: RoundPlan,
    settings: Settings,
    directory: String,
    server: LocalPostgres,
    standby: LocalPostgres?
  ) throws {
    self.plan = plan
    self.settings = settings
    self.directory = directory
    let url = standby.map { server.url(database: "torture", orOn: $0) } ?? server.url(database: "torture")
    state = Mutex(State(server: server, standby: standby, url: url, pool: try Settings.pool(url: url)))
    fleet = Fleet(settings: settings, directory: directory, url: url)
    gate = WriterGate(pool: PQPool(try Writer.configuration(url: url), logger: Settings.logger))
  }

  /// Plays a round and judges it.
  static func run(_ plan: RoundPlan, settings: Settings) async throws -> RoundResult {
    let directory = "\(settings.directory)/\(plan.kind.rawValue)-\(plan.seed)"
    // The server's user has to get to its data.
    try PrivateFiles.makeDirectory(directory, permissions: 0o711)
    let server = try await LocalPostgres.start(configuration(plan, directory: "\(directory)/server"))
    var standby: LocalPostgres?
    do {
      try await server.createDatabase("torture")
      if plan.needsStandby { standby = try await follow(server, plan, directory: directory) }
      let round = try Round(
        plan: plan,
        settings: settings,
        directory: directory,
        server: server,
        standby: standby
      )
      let result = try await round.play()
      await standby?.stop(mode: .immediate)
      await server.stop(mode: .immediate)
      return result
    } catch {
      await standby?.stop(mode: .immediate)
      await server.stop(mode: .immediate)
      throw error
    }
  }

  static func configuration(_ plan: RoundPlan, directory: String) -> LocalPostgresConfiguration {
    var configuration = LocalPostgresConfiguration()
    configuration.directory = directory
    configuration.listensOnTCP = plan.needsStandby
    configuration.settings = [
      // A crash of the server loses nothing by this; only one of the machine would.
      "fsync": "off",
      "wal_level": "logical", "max_replication_slots": "20", "max_wal_senders": "20",
      "max_prepared_transactions": "30", "deadlock_timeout": "100ms", "log_line_prefix": "%m [%p] %a ",
    ]
    if plan.commitsLoosely {
      configuration.settings["synchronous_commit"] = "off"
      configuration.settings["wal_writer_delay"] = "500ms"
    }
    return configuration
  }

  // MARK: The course of a round

  private func play() async throws -> RoundResult {
    defer { fleet.killAll() }
    try await setUp()
    try await withThrowingTaskGroup(of: Void.self) { helpers in
      // Until the last writer is done: it may wait for what these end or find.
      helpers.addTask { try await SecondPhase(gate: self.gate).run() }
      helpers.addTask { try await LockWatch(round: self).run() }
      helpers.addTask { try await self.keepFleet() }
      try await playAll()
      helpers.cancelAll()
      do { try await helpers.waitForAll() } catch is CancellationError {} catch is PQError {}
    }
    return try await judge()
  }

  private func playAll() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<plan.writers {
        group.addTask { [plan, gate] in
          let draw = TransactionDraw(seed: plan.seed, writer: number, allowed: plan.allowed, rows: plan.rows)
          var writer = Writer(number: number, gate: gate, draw: draw)
          try await writer.run()
        }
      }
      group.addTask {
        defer { self.gate.stop() }
        try await withThrowingTaskGroup(of: Void.self) { parts in
          parts.addTask { try await self.playPhases() }
          parts.addTask { try await self.playFaults() }
          parts.addTask { try await self.playArrivals() }
          try await parts.waitForAll()
        }
      }
      try await group.waitForAll()
    }
  }

  private func setUp() async throws {
    let pool = pool
    try await Migrator.migrateAll(pool, logger: Settings.logger)
    try await table.create(rows: plan.rows, size: plan.kind == .snapshot ? 900 : 200)
    try await LeaseAudit(pool).install()
    let after = try await table.lastPlace()
    let stream = try await admin.enable(table: "item", capture: plan.capture, shardCount: plan.shards)
    state.withLock { $0.eras = [Era(stream: stream.fullName, span: LogJudge.Span(after: after))] }
    try fleet.add(Fleet.Application(name: "plain", stream: "item"), workers: plan.workers)
    try fleet.add(Fleet.Application(name: "ledger", stream: "item", keepsLedger: true), workers: 1)
  }

  private func keepFleet() async throws {
    while true {
      try await ContinuousClock().sleep(for: .milliseconds(300))
      try keepRunning()
    }
  }

  /// Replaces workers that have ended. One that ended by itself is a violation, the same only once.
  func keepRunning() throws {
    // Whatever moves the database ends a capture by decoding, and a worker that comes then learns so.
    let mayBeDisabled = plan.faults.contains {
      $0.kind == .poison || plan.capture == .logical && $0.kind.isMove
    }
    for words in try fleet.replaceEnded() where !(mayBeDisabled && words.contains("streamDisabled")) {
      let isNew = state.withLock { $0.lastWords.insert(words).inserted }
      if isNew { note(Violation("A worker ended by itself. \(words)")) }
    }
  }

  private func playPhases() async throws {
    for phase in plan.phases {
      gate.phase = phase.kind
      try await ContinuousClock().sleep(for: phase.length)
    }
    gate.phase = .idle
  }

  private func playArrivals() async throws {
    let start = ContinuousClock.now
    for moment in plan.arrivals {
      try await ContinuousClock().sleep(until: start + moment, tolerance: nil)
      // Nobody comes to a server that is about to go.
      while state.withLock(\.isMoving) { try await ContinuousClock().sleep(for: .milliseconds(50)) }
      let number = state.withLock { state in
        state.arrivals += 1
        return state.arrivals
      }
      let application = Fleet.Application(
        name: "snapshot\(number)",
        stream: "item",
        startsWithSnapshot: true,
        era: state.withLock { $0.eras.count - 1 }
      )
      try fleet.add(application, workers: 1 + number % 2)
      if plan.allowed.contains(.ddl) { try await disturbCopying(empties: number == plan.arrivals.count) }
    }
  }

  /// Wants the table for itself while its rows are copied, as a migration does that somebody runs just then.
  private func disturbCopying(empties: Bool) async throws {
    let statement: PQStatement =
      empties && plan.allowed.contains(.truncate)
      ? "TRUNCATE item" : "LOCK TABLE item IN ACCESS EXCLUSIVE MODE"
    let pool = pool
    do {
      let isCopying = try await holds(within: .seconds(4), every: .milliseconds(3)) {
        try await pool.query("SELECT count(*) FROM tidemark.snapshot WHERE completed_at IS NULL")[0].decode(
          Int.self
        ) > 0
      }
      guard isCopying else { return }
      try await pool.transaction { transaction in
        try await transaction.execute("SET LOCAL lock_timeout = '20s'")
        try await transaction.execute(statement)
      }
      state.withLock { $0.disturbances += 1 }
    } catch let error as PQError where error.sqlState == "55P03" {
      note(Violation("The table could not be locked within 20 s while a snapshot of it was made."))
    } catch is PQError {
      // Another fault was in the way.
    }
  }

  /// Faults that last run beside those that follow.
  private func playFaults() async throws {
    let start = ContinuousClock.now
    try await withThrowingTaskGroup(of: Void.self) { group in
      for fault in plan.faults {
        try await ContinuousClock().sleep(until: start + fault.at, tolerance: nil)
        state.withLock { $0.faults[fault.kind, default: 0] += 1 }
        if fault.kind.isExclusive {
          try await perform(fault)
        } else {
          group.addTask { try await self.perform(fault) }
        }
      }
      try await group.waitForAll()
    }
  }

  private func perform(_ fault: RoundPlan.Fault) async throws {
    if fault.kind.isMove { state.withLock { $0.isMoving = true } }
    defer { if fault.kind.isMove { state.withLock { $0.isMoving = false } } }
    do {
      try await strike(fault.kind, draw: fault.draw)
    } catch let error as PQError
      where error.isRetryable || error.isOutcomeUnknown || error.code == .closed
    {
      // Another fault was in the way.
    } catch let error as TidemarkError {
      note(error, of: fault)
    }
  }

  private func note(_ error: TidemarkError, of fault: RoundPlan.Fault) {
    // Another fault was in the way, or a split came too late for its shard.
    let tooLate: Set<TidemarkError.Code> = [.shardNotFound, .invalidConfiguration, .streamDisabled]
    if error.isRetryable || tooLate.contains(error.code) { return }
    note(Violation("\(fault.kind.rawValue) failed: \(error)"))
  }

  func note(_ violation: Violation) {
    state.withLock { $0.violations.append(violation) }
  }
}
