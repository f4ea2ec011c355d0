import LibPQ
import Logging
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkTestKit

/// A database that comes back without its newest commits, as after the promotion of a standby that lagged: the lease
/// tables are put back, and the histories look like those of another server's start.
@Suite("A database that lost commits", .sharesMachine)
struct LostHistoryTests {
  private let database: LeaseDatabase
  private let store: PostgresLeaseStore
  private let scope = LeaseScope(application: "application")

  init() async throws {
    database = try await LeaseDatabase()
    store = PostgresLeaseStore(database.configuration, pool: database.pool, logger: LeaseDatabase.logger)
  }

  private func register() async throws -> WorkerIncarnation {
    try await store.register(
      WorkerRegistration(
        scope: scope,
        workerID: "worker",
        host: "host",
        processID: 1,
        failoverInterval: .seconds(60)
      )
    )
  }

  private func run(_ script: String) async throws {
    try await database.pool.withConnection { try await $0.executeScript(script) }
  }

  private func keep() async throws {
    try await run(
      """
      DROP SCHEMA IF EXISTS kept CASCADE;
      CREATE SCHEMA kept;
      CREATE TABLE kept.lease AS TABLE tidemark_leases.lease;
      CREATE TABLE kept.worker AS TABLE tidemark_leases.worker;
      CREATE TABLE kept.worker_stream AS TABLE tidemark_leases.worker_stream;
      CREATE TABLE kept.lease_scope AS TABLE tidemark_leases.lease_scope;
      CREATE TABLE kept.history AS TABLE tidemark_leases.history;
      CREATE TABLE kept.drawn AS SELECT last_value, is_called FROM tidemark_leases.worker_incarnation_seq;
      """
    )
  }

  private func lose() async throws {
    try await run(
      """
      TRUNCATE tidemark_leases.lease, tidemark_leases.worker, tidemark_leases.worker_stream,
        tidemark_leases.lease_scope, tidemark_leases.history;
      INSERT INTO tidemark_leases.lease SELECT * FROM kept.lease;
      INSERT INTO tidemark_leases.worker OVERRIDING SYSTEM VALUE SELECT * FROM kept.worker;
      INSERT INTO tidemark_leases.worker_stream SELECT * FROM kept.worker_stream;
      INSERT INTO tidemark_leases.lease_scope SELECT * FROM kept.lease_scope;
      INSERT INTO tidemark_leases.history SELECT * FROM kept.history;
      SELECT setval('tidemark_leases.worker_incarnation_seq', last_value, is_called) FROM kept.drawn;
      UPDATE tidemark_leases.history SET server_started_at = server_started_at - interval '1 hour';
      UPDATE tidemark_leases.worker SET server_started_at = server_started_at - interval '1 hour';
      """
    )
  }

  private func assign(_ shardID: String, to owner: WorkerIncarnation) async throws -> LeaseGrant {
    let step = Assignment.assign(shardID: shardID, to: owner)
    let outcome = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(60)) { _ in [step] }
    try #require(outcome == .applied([step], dead: []))
    let lease = try #require(try await store.lease(shardID, in: scope))
    return LeaseGrant(scope: scope, shardID: shardID, owner: owner, epoch: lease.epoch)
  }

  private func checkpoint(_ grant: LeaseGrant, at number: UInt64) async throws -> WriteOutcome {
    try await store.checkpoint([CheckpointWrite(grant: grant, checkpoint: .record(SequenceNumber(number)))])[
      0
    ]
  }

  @Test("gives no epoch and no incarnation out again, however often it loses the same, and keeps its owners")
  func nothingTwice() async throws {
    _ = try await store.createLeases([NewLease(shard: Shard(id: "a"), checkpoint: .trimHorizon)], in: scope)
    let owner = try await register()
    let kept = try await assign("a", to: owner)
    #expect(kept.epoch == Epoch(1), "a database that has lost nothing counts from one")
    try await keep()
    var (epochs, incarnations): (Set<Int64>, Set<WorkerIncarnation>) = ([kept.epoch.number], [owner])
    var lastNumber: Int64 = 0
    for loss in 0..<3 {
      // What is lost: another worker, and that it was given the lease.
      #expect(try await store.transfer(kept) == .accepted)
      let given = try #require(try await store.lease("a", in: scope))
      #expect(epochs.insert(given.epoch.number).inserted)
      let other = try await register()
      #expect(incarnations.insert(other).inserted, "after \(loss) losses")
      let lost = try await assign("a", to: other)
      #expect(epochs.insert(lost.epoch.number).inserted, "after \(loss) losses")
      #expect(try await checkpoint(lost, at: UInt64(10 * loss + 10)) == .accepted)
      let told = try await store.look(as: other, in: scope)
      try await eventually("a later history has a later number") {
        try await database.pool.value("SELECT tidemark_leases.next_history()", as: Int64.self) > lastNumber
          + 1
      }
      try await lose()
      #expect(try await checkpoint(lost, at: UInt64(10 * loss + 11)) == .leaseLost)
      #expect(try await checkpoint(kept, at: 7) == .accepted, "no owner loses its lease for this")
      #expect(try await store.heartbeat(Heartbeat(incarnation: other, scope: scope, state: .active)) == nil)
      _ = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(60)) { _ in [] }
      let history = try await store.look(as: owner, in: scope).history
      #expect(history.number > lastNumber)
      #expect(
        history.beganAt < told.assignmentVersion,
        "a worker that heard of the rest can see that it is lost"
      )
      lastNumber = history.number
    }
  }

  @Test("takes a repeated transfer for what it is although the epoch rose by more than one")
  func repeatedTransfer() async throws {
    _ = try await store.createLeases([NewLease(shard: Shard(id: "a"), checkpoint: .trimHorizon)], in: scope)
    let kept = try await assign("a", to: register())
    try await keep()
    try await lose()
    #expect(try await store.transfer(kept) == .accepted)
    let lease = try #require(try await store.lease("a", in: scope))
    #expect(lease.epoch.number > 1 << 32 && lease.lastEpoch == kept.epoch && lease.lastOwner == kept.owner)
    #expect(try await store.transfer(kept) == .accepted, "an answer that was lost is asked for again")
    #expect(try await checkpoint(kept, at: 1) == .leaseLost)
  }

  @Test("refuses the writes of an owner that goes on from a checkpoint that is lost, until it starts again")
  func lostCheckpoints() async throws {
    _ = try await store.createLeases([NewLease(shard: Shard(id: "a"), checkpoint: .trimHorizon)], in: scope)
    let owner = try await register()
    let grant = try await assign("a", to: owner)
    #expect(try await checkpoint(grant, at: 5) == .accepted)
    try await keep()
    #expect(try await checkpoint(grant, at: 7) == .accepted)
    try await lose()
    let ahead = CheckpointWrite(grant: grant, checkpoint: .record(9), from: .record(7))
    #expect(try await store.checkpoint([ahead]) == [.leaseLost])
    #expect(try await store.deadLetter([], passing: ahead) == .leaseLost)
    let error = try await postgresError {
      try await database.pool.transaction { transaction in
        let outcome = try await transaction.write(ahead, mustAdvance: true)
        #expect(outcome == .leaseLost)
      }
    }
    #expect(error.sqlState == "25P02", "it can only be rolled back")
    #expect(try await store.lease("a", in: scope)?.checkpoint == .record(5))
    #expect(try await store.transfer(grant) == .accepted)
    let again = try await assign("a", to: owner)
    #expect(again.epoch > grant.epoch)
    #expect(try await checkpoint(again, at: 9) == .accepted)
  }

  @Test("refuses an end that was read on another history, also before this one is entered")
  func endOfAnotherHistory() async throws {
    _ = try await store.createLeases([NewLease(shard: Shard(id: "a"), checkpoint: .trimHorizon)], in: scope)
    let owner = try await register()
    let grant = try await assign("a", to: owner)
    let told = try await store.look(as: owner, in: scope).history.number
    try await keep()
    try await lose()
    func end(_ grant: LeaseGrant, _ history: Int64) async throws -> WriteOutcome {
      try await store.endShard(grant, children: [], restingOn: ShardEnding(history: history))
    }
    #expect(try await end(grant, told) == .leaseLost, "nothing is entered yet")
    #expect(try await store.transfer(grant) == .accepted)
    let again = try await assign("a", to: owner)
    #expect(try await end(again, told) == .leaseLost)
    let now = try await store.look(as: owner, in: scope).history.number
    #expect(now > told)
    #expect(try await end(again, now) == .accepted)
  }

  @Test("a restart that loses nothing raises no epoch and tells nobody of a loss")
  func restart() async throws {
    _ = try await store.createLeases([NewLease(shard: Shard(id: "a"), checkpoint: .trimHorizon)], in: scope)
    let owner = try await register()
    let grant = try await assign("a", to: owner)
    let version = try await store.look(as: owner, in: scope).assignmentVersion
    try await keep()
    try await lose()
    _ = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(60)) { _ in [] }
    let reply = try await store.look(as: owner, in: scope)
    #expect(reply.history.number > 0 && reply.history.beganAt == version)
    #expect(try await store.lease("a", in: scope)?.epoch == grant.epoch)
  }

  @Test("sessions commit durably where their role does not, and never less than their role asks for")
  func synchronousCommit() async throws {
    func effective(_ configuration: PQConfiguration) async throws -> String {
      let connection = try await PQConnection.connect(configuration, logger: LeaseDatabase.logger)
      let rows = try await connection.query("SELECT current_setting('synchronous_commit')")
      await connection.close()
      return try rows[0].decode(String.self)
    }
    for (setting, expected) in [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")] {
      let url = database.url + (database.url.contains("?") ? "&" : "?")
      let configuration = try PQConfiguration(url: "\(url)options=-c%20synchronous_commit%3D\(setting)")
      #expect(try await effective(configuration) == expected)
    }
    var configuration = database.configuration
    configuration.settings["synchronous_commit"] = "off"
    #expect(try await effective(configuration) == "off", "what is set here is meant so")
  }
}
