import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams
import TidemarkTestKit

/// Whoever is declared dead holds nothing up: its sessions are ended, whatever they were in.
@Suite("The sessions of a dead worker", .sharesMachine)
struct DeadSessionsTests {
  private let database: LeaseDatabase
  private let scope = LeaseScope(application: "application")

  init() async throws {
    database = try await LeaseDatabase()
  }

  /// One process: a store and a pool, under a name of their own or not.
  private struct Process {
    let configuration: PQConfiguration
    let pool: PQPool
    let store: PostgresLeaseStore

    init(_ configuration: PQConfiguration, hasOwnSessions: Bool = false) {
      self.configuration = hasOwnSessions ? configuration.namingProcess("worker") : configuration
      pool = PQPool(self.configuration, logger: LeaseDatabase.logger)
      store = PostgresLeaseStore(
        self.configuration,
        pool: pool,
        logger: LeaseDatabase.logger,
        hasOwnSessions: hasOwnSessions
      )
    }
  }

  private func register(_ process: Process) async throws -> WorkerIncarnation {
    try await process.store.register(
      WorkerRegistration(
        scope: scope,
        workerID: "worker",
        host: "host",
        processID: 1,
        failoverInterval: .seconds(60)
      )
    )
  }

  private func grant(_ shardID: String, to owner: WorkerIncarnation, _ process: Process) async throws
    -> LeaseGrant
  {
    let lease = NewLease(shard: Shard(id: shardID), checkpoint: .trimHorizon)
    _ = try await process.store.createLeases([lease], in: scope)
    let step = Assignment.assign(shardID: shardID, to: owner)
    let outcome = try await plan(owner, process, [step])
    try #require(outcome == .applied([step], dead: []))
    return LeaseGrant(scope: scope, shardID: shardID, owner: owner, epoch: Epoch(1))
  }

  private func plan(
    _ planner: WorkerIncarnation,
    _ process: Process,
    _ steps: [Assignment] = []
  ) async throws -> PlanOutcome {
    try await process.store.plan(as: planner, in: scope, handoffTimeout: .seconds(60)) { _ in steps }
  }

  /// Plans until a lease has gone to `planner`.
  private func takeOver(_ shardID: String, as planner: WorkerIncarnation, _ process: Process) async throws {
    let step = Assignment.assign(shardID: shardID, to: planner)
    try await eventually("the lease of the dead is taken over") {
      try await plan(planner, process, [step]) == .applied([step], dead: [])
    }
  }

  /// Runs `body` while a transaction of a process is open that stands still, as if the process were stopped.
  private func whileOpen(
    in process: Process,
    _ statement: PQStatement,
    _ body: (_ processID: Int32) async throws -> Void
  ) async throws {
    let connection = try await PQConnection.connect(process.configuration, logger: LeaseDatabase.logger)
    try await connection.execute("BEGIN")
    try await connection.execute(statement)
    let rows = try await connection.query("SELECT pg_backend_pid()")
    try await body(rows[0].decode(Int32.self))
    await connection.close()
  }

  private func isAlive(_ processID: Int32) async throws -> Bool {
    try await database.pool.value(
      "SELECT count(*) FROM pg_stat_activity WHERE pid = \(processID)",
      as: Int.self
    ) == 1
  }

  private func checkpointing(_ shardID: String) -> PQStatement {
    "UPDATE tidemark_leases.lease SET checkpoint = '5' WHERE application = \(scope.application) AND shard_id = \(shardID)"
  }

  @Test("an open transaction with a checkpoint in it is ended, and the lease is the next owner's")
  func openTransaction() async throws {
    let (victim, other) = (Process(database.configuration), Process(database.configuration))
    let (owner, planner) = (try await register(victim), try await register(other))
    let grant = try await grant("a", to: owner, victim)
    try await whileOpen(in: victim, checkpointing("a")) { session in
      try await database.killSession(of: owner)
      #expect(try await plan(planner, other) == .applied([], dead: [owner]))
      #expect(try await other.store.look(as: planner, in: scope).needsPlan, "the lease was skipped")
      try await takeOver("a", as: planner, other)
      #expect(try await !isAlive(session))
    }
    let lease = try #require(try await other.store.lease("a", in: scope))
    #expect(lease.owner == planner && lease.epoch > grant.epoch && lease.checkpoint == .trimHorizon)
  }

  @Test("a session that has only locked the lease's row is ended as well, also beside another's lock")
  func lockedRow() async throws {
    let (victim, other) = (Process(database.configuration), Process(database.configuration))
    let (owner, planner) = (try await register(victim), try await register(other))
    _ = try await grant("a", to: owner, victim)
    _ = try await grant("b", to: owner, victim)
    try await whileOpen(in: victim, "SELECT FROM tidemark_leases.lease WHERE shard_id = 'a' FOR UPDATE") {
      first in
      // Two that share a lock are in the row as a group.
      try await whileOpen(in: victim, "SELECT FROM tidemark_leases.lease WHERE shard_id = 'b' FOR SHARE") {
        second in
        try await whileOpen(in: victim, "SELECT FROM tidemark_leases.lease WHERE shard_id = 'b' FOR SHARE") {
          third in
          try await database.killSession(of: owner)
          _ = try await plan(planner, other)
          try await takeOver("a", as: planner, other)
          try await takeOver("b", as: planner, other)
          for session in [first, second, third] { #expect(try await !isAlive(session)) }
        }
      }
    }
  }

  @Test(
    "all sessions of a process that has its own name are ended, with the rows of the user's that they hold"
  )
  func usersRows() async throws {
    let victim = Process(database.configuration, hasOwnSessions: true)
    let other = Process(database.configuration, hasOwnSessions: true)
    let (owner, planner) = (try await register(victim), try await register(other))
    try await database.pool.execute("CREATE TABLE total (sum bigint)")
    try await database.pool.execute("INSERT INTO total VALUES (1)")
    try await whileOpen(in: victim, "UPDATE total SET sum = 2") { session in
      try await whileOpen(in: other, "SELECT 1") { living in
        try await database.killSession(of: owner)
        #expect(try await plan(planner, other) == .applied([], dead: [owner]))
        try await database.pool.execute("UPDATE total SET sum = sum + 10")
        try await eventually("the session is gone") { try await !isAlive(session) }
        #expect(try await isAlive(living), "it is a living worker's")
      }
    }
    #expect(try await database.pool.value("SELECT sum FROM total", as: Int64.self) == 11)
    // Once all have left nobody looks for them again.
    try await eventually("it is noted that the dead has left") {
      _ = try await plan(planner, other)
      return try await database.pool.value(
        "SELECT has_left FROM tidemark_leases.worker WHERE incarnation = \(owner.number)",
        as: Bool.self
      )
    }
  }

  @Test("a process that was declared dead and came back keeps its sessions")
  func cameBack() async throws {
    let victim = Process(database.configuration, hasOwnSessions: true)
    let other = Process(database.configuration)
    let (owner, planner) = (try await register(victim), try await register(other))
    let returned = try await register(victim)
    try await whileOpen(in: victim, "SELECT 1") { session in
      try await database.killSession(of: owner)
      #expect(try await plan(planner, other) == .applied([], dead: [owner]))
      _ = try await plan(planner, other)
      #expect(try await isAlive(session))
    }
    #expect(
      try await victim.store.heartbeat(Heartbeat(incarnation: returned, scope: scope, state: .active)) != nil
    )
  }

  @Test("a session that has locked a living owner's lease is not ended but reported, after a while and once")
  func livingOwner() async throws {
    let (first, other) = (Process(database.configuration), Process(database.configuration))
    let (owner, planner) = (try await register(first), try await register(other))
    _ = try await grant("a", to: owner, first)
    let step = Assignment.handOff(shardID: "a", to: planner)
    var blockages = other.store.blockages(for: planner, in: scope).makeAsyncIterator()
    try await whileOpen(in: first, checkpointing("a")) { session in
      let start = ContinuousClock.now
      try await eventually("the lock is old") {
        let outcome = try await plan(planner, other, [step])
        #expect(outcome == .applied([], dead: []))
        return ContinuousClock.now - start > .seconds(6)
      }
      let blockage = try #require(await blockages.next())
      #expect(blockage.leases == [OneStream.key("a")] && blockage.holder.contains("process \(session) "))
      #expect(blockage.advice.contains("pg_terminate_backend(\(session))"))
      #expect(try await isAlive(session))
    }
  }

  @Test("a session that the burier may not end is named, and the plan is made without it")
  func withoutRights() async throws {
    let streams = StreamDatabase(
      url: database.url,
      pool: database.pool,
      admin: PostgresStreamAdmin(database.pool)
    )
    let roles = StreamRoles(database: streams)
    try await roles.create("burier")
    try await streams.leases().grant(.consumer, to: roles.name("burier"), application: scope.application)
    let victim = Process(database.configuration)
    let other = Process(try PQConfiguration(url: roles.url("burier")))
    let (owner, planner) = (try await register(victim), try await register(other))
    _ = try await grant("a", to: owner, victim)
    _ = try await grant("b", to: owner, victim)
    var blockages = other.store.blockages(for: planner, in: scope).makeAsyncIterator()
    try await whileOpen(in: victim, checkpointing("a")) { session in
      try await database.killSession(of: owner)
      #expect(try await plan(planner, other) == .applied([], dead: [owner]))
      try await takeOver("b", as: planner, other)
      let start = ContinuousClock.now
      try await eventually("the lock is old") {
        _ = try await plan(planner, other)
        return ContinuousClock.now - start > .seconds(6)
      }
      let blockage = try #require(await blockages.next())
      #expect(blockage.leases == [OneStream.key("a")] && blockage.holder.contains("process \(session) "))
      #expect(blockage.advice.contains("pg_terminate_backend(\(session))"))
      #expect(blockage.advice.contains("GRANT pg_signal_backend"))
      #expect(try await isAlive(session))
      try await database.pool.execute("SELECT pg_terminate_backend(\(session))")
      try await takeOver("a", as: planner, other)
    }
    try await other.store.deregister(planner, in: scope)
    await other.pool.close()
    try await roles.drop("burier")
  }
}
