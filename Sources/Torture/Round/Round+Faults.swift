import FleetDrill
import Foundation
import LibPQ
import LocalPostgres
import Synchronization
import Tidemark
import TidemarkPostgres
import TidemarkStreams

extension Ingredient {
  /// What comes after waits until it is over.
  var isExclusive: Bool { isMove || [.crash, .restart, .damage].contains(self) }
}

extension Round {
  func strike(_ kind: Ingredient, draw: UInt64) async throws {
    var random = SeededGenerator(seed: draw)
    switch kind {
    case .kill: fleet.pick(random.next())?.crash()
    case .terminate: fleet.pick(random.next())?.terminate()
    case .stop:
      guard let worker = fleet.pick(random.next()) else { return }
      worker.pause()
      try await ContinuousClock().sleep(for: random.duration(100...5000))
      worker.resume()
    case .walsender: try await endBackend("backend_type = 'walsender'", &random)
    case .session: try await endBackend("application_name LIKE 'tidemark%'", &random)
    case .writer: try await endBackend("application_name = 'torture writer'", &random)
    case .crash:
      try await state.withLock(\.server).restart(mode: .immediate)
      if plan.commitsLoosely { noteLosses() }
    case .restart: try await state.withLock(\.server).restart(mode: .fast)
    case .exclusiveLock:
      try await hold("LOCK TABLE item IN ACCESS EXCLUSIVE MODE", random.duration(50...1500))
    case .shareLock: try await hold("LOCK TABLE item IN SHARE MODE", random.duration(50...1500))
    case .stepLock:
      try await hold(
        """
        DO $$
        DECLARE
          stream integer;
        BEGIN
          FOR stream IN SELECT stream_id FROM tidemark.stream WHERE status = 'ENABLED' LOOP
            EXECUTE format('LOCK TABLE tidemark.%I IN SHARE UPDATE EXCLUSIVE MODE', 'turn_' || stream);
          END LOOP;
        END $$
        """,
        random.duration(50...1500)
      )
    case .timeouts: try await shortenTimeouts(&random)
    case .split, .merge: try await reshape(kind, &random)
    case .rotate:
      try await admin.alter("item") { $0.sharding.rotateAfter = .seconds(1) }
      try await admin.maintain()
      try await admin.alter("item") { $0.sharding.rotateAfter = nil }
    case .promotion: try await promote(losing: false, &random)
    case .promotionWithLoss: try await promote(losing: true, &random)
    case .dump: try await dumpAndRestore()
    case .damage: try await damage(&random)
    case .poison: try await poison(&random)
    case .ddl, .keyType, .truncate, .twoPhase, .longTransactions, .largeRows, .looseCommits: break
    }
  }

  /// From the server's next answer on what was handled is there, or is lost for good.
  func noteLosses() {
    state.withLock { $0.lossesUntil = HistoryEntry.now() + 200_000 }
  }

  private func endBackend(_ condition: String, _ random: inout SeededGenerator) async throws {
    let offset = Int64.random(in: 0..<100, using: &random)
    let statement = PQStatement(
      """
      WITH found AS (
        SELECT pid, row_number() OVER (ORDER BY pid) - 1 AS number, count(*) OVER () AS count FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND datname = current_database() AND \(condition))
      SELECT pg_terminate_backend(pid) FROM found WHERE number = $1 % count
      """,
      offset
    )
    _ = try await pool.query(statement)
  }

  private func hold(_ lock: PQStatement, _ duration: Duration) async throws {
    try await pool.transaction { transaction in
      // A lock that is wanted for long keeps others waiting as one that is held does.
      try await transaction.execute("SET LOCAL lock_timeout = '3s'")
      _ = try await transaction.query(lock)
      try await ContinuousClock().sleep(for: duration)
    }
  }

  private func shortenTimeouts(_ random: inout SeededGenerator) async throws {
    let setting =
      random.pick(["statement_timeout", "lock_timeout", "idle_session_timeout"]) ?? "lock_timeout"
    let milliseconds = Int.random(in: 100...500, using: &random)
    let connection = pool
    do {
      try await connection.execute(
        PQStatement(stringLiteral: "ALTER ROLE postgres SET \(setting) = '\(milliseconds)ms'")
      )
    } catch let error as PQError where ["23505", "XX000"].contains(error.sqlState) {
      // The same is done by another fault just now.
      return
    }
    // Sessions have what was so when they began.
    _ = try await connection.query(Self.endWorkersSessions)
    try await ContinuousClock().sleep(for: random.duration(500...2500))
    try await resetTimeouts()
  }

  private static let endWorkersSessions: PQStatement =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tidemark%'"

  /// Whatever is in the way: what comes after rests on it.
  func resetTimeouts() async throws {
    let isReset = try await holds(within: .seconds(30)) {
      try await pool.execute("ALTER ROLE postgres RESET ALL")
      _ = try await pool.query(Self.endWorkersSessions)
      return true
    }
    if !isReset { note(Violation("The role's timeouts could not be reset.")) }
  }

  private func reshape(_ kind: Ingredient, _ random: inout SeededGenerator) async throws {
    let description = try await admin.describe("item")
    let open = description.shards.filter(\.isOpen).sorted {
      ($0.hashRange?.start ?? 0) < ($1.hashRange?.start ?? 0)
    }
    if kind == .split, open.count < 8, let shard = random.pick(open) {
      try await admin.split(shard.id, of: description.fullName)
    } else if open.count > 1 {
      let index = Int.random(in: 0..<open.count - 1, using: &random)
      try await admin.merge(open[index].id, open[index + 1].id, of: description.fullName)
    }
  }
}
