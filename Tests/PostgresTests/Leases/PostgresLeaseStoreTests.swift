import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkTestKit

/// What only the PostgreSQL store does; the rest is in `LeaseStoreConformance`.
@Suite("The PostgreSQL lease store", .sharesMachine)
struct PostgresLeaseStoreTests {
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

  /// Creates leases and gives them to a worker.
  private func grant(_ shardIDs: [String], to owner: WorkerIncarnation) async throws -> [LeaseGrant] {
    let leases = shardIDs.map { NewLease(shard: Shard(id: $0), checkpoint: .trimHorizon) }
    _ = try await store.createLeases(leases, in: scope)
    let steps = shardIDs.map { Assignment.assign(shardID: $0, to: owner) }
    let outcome = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(60)) { _ in steps }
    try #require(outcome == .applied(steps, dead: []))
    return shardIDs.map { LeaseGrant(scope: scope, shardID: $0, owner: owner, epoch: Epoch(1)) }
  }

  @Test("plans around a lease that a user's open transaction holds, and comes back to it")
  func openTransaction() async throws {
    let (owner, other) = (try await register(), try await register())
    let grants = try await grant(["a", "b"], to: owner)
    let steps = ["a", "b"].map { Assignment.handOff(shardID: $0, to: other) }
    try await database.pool.transaction { transaction in
      let write = CheckpointWrite(grant: grants[0], checkpoint: .record(1))
      _ = try await transaction.write(write, mustAdvance: false)
      let outcome = try await store.plan(as: other, in: scope, handoffTimeout: .seconds(60)) { _ in steps }
      #expect(outcome == .applied([steps[1]], dead: []))
      #expect(try await store.look(as: other, in: scope).needsPlan)
    }
    let outcome = try await store.plan(as: other, in: scope, handoffTimeout: .seconds(60)) { _ in steps }
    #expect(outcome == .applied([steps[0]], dead: []))
    #expect(try await !store.look(as: other, in: scope).needsPlan)
  }

  @Test("gives leases that are handed off at the same time up in few statements")
  func manyTransfers() async throws {
    let (owner, other) = (try await register(), try await register())
    let shards = (0..<20).map { "shard-\($0)" }
    let grants = try await grant(shards, to: owner)
    let steps = shards.map { Assignment.handOff(shardID: $0, to: other) }
    _ = try await store.plan(as: other, in: scope, handoffTimeout: .seconds(60)) { _ in steps }
    let before = try await store.look(as: other, in: scope).assignmentVersion
    let outcomes = try await transfer(grants)
    #expect(outcomes.values.allSatisfy { $0 == .accepted } && outcomes.count == 20)
    #expect(try await store.leases(in: scope).allSatisfy { $0.owner == other && $0.epoch == Epoch(2) })
    let after = try await store.look(as: other, in: scope).assignmentVersion
    #expect((before + 1...before + 10).contains(after))
    #expect(try await transfer(grants) == outcomes, "an answer that was lost is asked for again")
  }

  @Test("hands leases off beside one that a user's open transaction holds, and that one after it")
  func transferBesideOpenTransaction() async throws {
    let grants = try await grant(["a", "b", "c"], to: register())
    let stale = LeaseGrant(scope: scope, shardID: "b", owner: grants[1].owner, epoch: Epoch(7))
    try await withThrowingTaskGroup(of: [LeaseGrant: WriteOutcome].self) { group in
      try await database.pool.transaction { transaction in
        let write = CheckpointWrite(grant: grants[0], checkpoint: .record(1))
        _ = try await transaction.write(write, mustAdvance: false)
        group.addTask { try await transfer([grants[0]]) }
        let others = try await transfer([grants[1], stale, grants[2]])
        #expect(others == [grants[1]: .accepted, stale: .leaseLost, grants[2]: .accepted])
        #expect(try await store.lease("a", in: scope)?.owner == grants[0].owner)
      }
      #expect(try await group.next() == [grants[0]: .accepted])
    }
    let lease = try #require(try await store.lease("a", in: scope))
    #expect(lease.owner == nil && lease.checkpoint == .record(1))
  }

  /// Transfers all at the same time.
  private func transfer(_ grants: [LeaseGrant]) async throws -> [LeaseGrant: WriteOutcome] {
    try await withThrowingTaskGroup(of: (LeaseGrant, WriteOutcome).self) { group in
      for grant in grants { group.addTask { (grant, try await store.transfer(grant)) } }
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
  }

  @Test("checkpoints in place, without touching an index")
  func heapOnlyUpdates() async throws {
    let grants = try await grant((0..<200).map { "shard-\($0)" }, to: register())
    var number: UInt64 = 0
    func nextWrites() -> [CheckpointWrite] {
      number += 1
      return grants.map { CheckpointWrite(grant: $0, checkpoint: .record(SequenceNumber(number))) }
    }
    // Somebody's snapshot, such as that of an ANALYZE that the server starts by itself, keeps old versions from
    // being cleaned away, and their pages full, for as long as it lasts.
    try await eventually("nearly all are rewritten in place") {
      for _ in 1...5 { _ = try await store.checkpoint(nextWrites()) }
      return try await database.pool.transaction { transaction in
        let before = try await updates(in: transaction)
        for write in nextWrites() { _ = try await transaction.write(write, mustAdvance: false) }
        let after = try await updates(in: transaction)
        #expect(after.all - before.all == 200)
        return after.inPlace - before.inPlace >= 180
      }
    }
  }

  /// How many leases this session has updated that the server's statistics do not have yet.
  private func updates(in transaction: PQTransaction) async throws -> (all: Int, inPlace: Int) {
    let rows = try await transaction.query(
      """
      SELECT pg_stat_get_xact_tuples_updated('tidemark_leases.lease'::regclass),
        pg_stat_get_xact_tuples_hot_updated('tidemark_leases.lease'::regclass)
      """
    )
    return try rows[0].decode((Int, Int).self)
  }

  @Test("heartbeats write no lease")
  func heartbeatsWriteOneRow() async throws {
    let owner = try await register()
    _ = try await grant((0..<100).map { "shard-\($0)" }, to: owner)
    let before = try await versions()
    for _ in 1...5 {
      let measurement = Heartbeat.Measurement(
        load: .init(processing: 1, bytesPerSecond: 1),
        millisBehindLatest: 1
      )
      let reply = try await store.heartbeat(
        Heartbeat(
          incarnation: owner,
          scope: scope,
          state: .active,
          measurements: [OneStream.key("shard-1"): measurement, OneStream.key("shard-2"): measurement]
        )
      )
      #expect(reply != nil)
    }
    #expect(try await versions() == before)
    let measured = try await store.leases(in: scope).filter { $0.load != nil }.map(\.shardID)
    #expect(measured == ["shard-1", "shard-2"])
  }

  /// Which transaction wrote each lease's row last.
  private func versions() async throws -> [String] {
    try await database.pool.query("SELECT xmin::text AS writer FROM tidemark_leases.lease ORDER BY shard_id")
      .map {
        try $0.decode("writer", as: String.self)
      }
  }

  @Test("reads each lease's measurement once, also while the server has no statistics of the tables")
  func readsWithoutStatistics() async throws {
    for table in ["lease", "lease_load"] {
      try await database.pool.execute(
        "ALTER TABLE tidemark_leases.\(identifier: table) SET (autovacuum_enabled = false)"
      )
    }
    let owner = try await register()
    let shardIDs = (0..<500).map { "shard-\($0)" }
    _ = try await grant(shardIDs, to: owner)
    let idle = Heartbeat.Measurement(load: .init(processing: 0, bytesPerSecond: 0), millisBehindLatest: 0)
    let measurements = Dictionary(uniqueKeysWithValues: shardIDs.map { (OneStream.key($0), idle) })
    _ = try await store.heartbeat(
      Heartbeat(incarnation: owner, scope: scope, state: .active, measurements: measurements)
    )
    #expect(try await store.leases(in: scope).allSatisfy { $0.load != nil })
    var fetched = 0
    try await eventually("the server counts what was read") {
      fetched = try await database.pool.query(
        """
        SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables
        WHERE relid = 'tidemark_leases.lease_load'::regclass
        """
      )[0].decode(Int.self)
      return fetched >= 500
    }
    #expect(fetched < 5000)
  }

  @Test("says that the migrations are missing")
  func noTables() async throws {
    let url = try await TestServer.shared().makeDatabase()
    let configuration = try PQConfiguration(url: url)
    let pool = PQPool(configuration, logger: LeaseDatabase.logger)
    let store = PostgresLeaseStore(configuration, pool: pool, logger: LeaseDatabase.logger)
    let error = await #expect(throws: TidemarkError.self) { try await store.leases(in: scope) }
    #expect(error?.code == .schemaMismatch && error?.message == "The database has no schema tidemark_leases.")
    #expect(error?.advice == "Run: tidemark migrate")
  }

  @Test("says that nothing was written when the server cannot be reached")
  func noServer() async throws {
    let configuration = try PQConfiguration(url: "postgresql://127.0.0.1:1/none")
    let pool = PQPool(configuration, acquireTimeout: .milliseconds(200), logger: LeaseDatabase.logger)
    let store = PostgresLeaseStore(configuration, pool: pool, logger: LeaseDatabase.logger)
    let error = await #expect(throws: TidemarkError.self) { try await store.leases(in: scope) }
    #expect(error?.code == .storeUnavailable)
    #expect(error?.isRetryable == true)
  }

  @Test("refuses a sub-sequence number that its column cannot hold")
  func hugeSubSequenceNumber() async throws {
    let grant = try await grant(["a"], to: register())[0]
    let write = CheckpointWrite(grant: grant, checkpoint: .record(1, subSequenceNumber: .max))
    let error = await #expect(throws: TidemarkError.self) { try await store.checkpoint([write]) }
    #expect(error?.code == .unsupported)
  }

  @Test("hears hints again after its session was lost and opened again")
  func hintsSurviveTheSession() async throws {
    let worker = try await register()
    let hints = store.hints(for: worker, in: scope)
    try await database.killSession(of: worker)
    try await eventually("the session is opened again") {
      let beat = Heartbeat(incarnation: worker, scope: scope, state: .active)
      return (try? await store.heartbeat(beat)) != nil
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        var iterator = hints.makeAsyncIterator()
        // The first may tell only that there is a session again.
        for _ in 1...3 { try #require(await iterator.next(isolation: nil) != nil) }
      }
      group.addTask {
        for number in 0... {
          let shard = Shard(id: "shard-\(number)")
          _ = try await store.createLeases([NewLease(shard: shard, checkpoint: .latest)], in: scope)
          try await Task.sleep(for: .milliseconds(5))
        }
      }
      try await group.next()
      group.cancelAll()
    }
  }

  @Test("is noticed to be dead when its process is killed, long before its failover interval has passed")
  func sessionsEndQuickly() async throws {
    let (witness, victim) = (try await register(), try await register())
    _ = try await store.plan(as: witness, in: scope, handoffTimeout: .seconds(1)) { _ in [] }
    #expect(try await !store.look(as: witness, in: scope).needsPlan)
    try await database.killSession(of: victim)
    try await eventually(within: .seconds(30), "the death is seen") {
      try await store.look(as: witness, in: scope).needsPlan
    }
  }
}
