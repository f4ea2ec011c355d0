import LibPQ
import TestSupport
import Testing
import Tidemark

@testable import TidemarkPostgres
@testable import TidemarkStreams

@Suite("A stranger's lock", .sharesMachine)
struct StrangersLockTests {
  @Test("on a worker's key, which it has read and waits for, hides no death and makes none")
  func liveness() async throws {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    try await roles.create("stranger")
    let session = try StreamDatabase.makePool(database.url, connections: 1)
    let stranger = try roles.pool("stranger")
    try await session.withConnection {
      try await $0.executeScript(
        """
        INSERT INTO tidemark_leases.worker (application, worker_id, host, process_id, failover_interval, has_session,
          server_started_at, registered_at, heartbeat_at, heartbeating_since)
        VALUES ('a', 'w', 'h', 1, '6 s', true, pg_postmaster_start_time(), now(), now(), now());
        SELECT pg_advisory_lock(w.session_key) FROM tidemark_leases.worker AS w
        """
      )
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        // As anybody can.
        _ = try? await stranger.query(
          """
          SELECT pg_advisory_lock(k.classid::bigint << 32 | k.objid::bigint) FROM pg_locks AS k
          WHERE k.locktype = 'advisory' AND k.granted
            AND k.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          """
        )
        // Holds it until the test cancels this: the time only has to be longer.
        try await Task.sleep(for: .seconds(3600))
      }
      func isWaiting() async throws -> Int64 {
        try await database.number(
          "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
            + "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
      }
      try await eventually("the stranger waits") { try await isWaiting() == 1 }
      func isDead() async throws -> Bool {
        try await database.pool.query(
          PQStatement(
            "SELECT EXISTS (SELECT FROM tidemark_leases.worker AS w WHERE \(PlanningStatements.isDead))",
            Int64(0),
            "a"
          )
        )[0].decode(Bool.self)
      }
      #expect(try await !isDead())
      try await database.run(
        "SELECT pg_terminate_backend(w.session_process) FROM tidemark_leases.worker AS w"
      )
      try await eventually("the stranger has the lock") { try await isWaiting() == 0 }
      try await eventually("the worker is dead") { try await isDead() }
      group.cancelAll()
    }
    await session.close()
    await stranger.close()
    try await roles.drop("stranger")
  }

  @Test("on the key of a work, which it has read and waits for, keeps nobody present who has died")
  func presence() async throws {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    try await roles.create("stranger")
    let maker = try StreamDatabase.makePool(database.url, connections: 1)
    let stranger = try StreamDatabase.makePool(roles.url("stranger"), connections: 1)
    try await maker.execute("SELECT tidemark.appear('a work')")
    func isPresent() async throws -> Bool {
      try await database.pool.query("SELECT tidemark.is_present('a work')")[0].decode(Bool.self)
    }
    #expect(try await isPresent())
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        _ = try await stranger.query(
          """
          SELECT pg_advisory_lock(k.classid::bigint << 32 | k.objid::bigint) FROM pg_locks AS k
          WHERE k.locktype = 'advisory' AND k.granted
            AND k.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          """
        )
      }
      try await eventually("the stranger waits") {
        try await database.number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
          > 0
      }
      try await database.run("SELECT pg_terminate_backend(p.process) FROM tidemark.presence AS p")
      try await group.waitForAll()
    }
    #expect(try await !isPresent())
    await maker.close()
    await stranger.close()
    try await roles.drop("stranger")
  }

  @Test("cannot be there before the work: no two works have one key, and no two workers")
  func randomKeys() async throws {
    let database = try await StreamDatabase.make()
    let keys = try await database.number(
      """
      WITH w AS (
        INSERT INTO tidemark_leases.worker (application, worker_id, host, process_id, failover_interval, has_session,
          server_started_at, registered_at, heartbeat_at, heartbeating_since)
        SELECT 'a', 'w', 'h', 1, '6 s', true, now(), now(), now(), now() FROM generate_series(1, 50)
        RETURNING session_key
      ) SELECT count(DISTINCT session_key) FROM w
      """
    )
    #expect(keys == 50)
    try await database.run("SELECT tidemark.appear('work ' || i) FROM generate_series(1, 50) AS i")
    #expect(try await database.number("SELECT count(DISTINCT lock_key) FROM tidemark.presence") == 50)
  }

  @Test("on all keys that there are keeps nothing from being captured, moved and planned")
  func keys() async throws {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    try await roles.create("stranger")
    let stranger = try StreamDatabase.makePool(roles.url("stranger"), connections: 1)
    try await database.run("CREATE TABLE item (id int PRIMARY KEY)")
    try await database.admin.enable(table: "item")
    try await stranger.execute(
      """
      SELECT pg_advisory_lock(hashtext(n), 1), pg_advisory_lock(hashtext(n))
      FROM unnest('{tidemark,tidemark.step,tidemark.wake,tidemark.enable,tidemark.snapshot,plan}'::text[]) AS n
      """
    )
    try await database.run("INSERT INTO item SELECT generate_series(1, 10)")
    #expect(try await database.stream("item").readAll().count == 10)
    try await database.admin.maintain()
    try await Migrator.migrateUnderTest(database.pool, logger: StreamDatabase.logger)
    try await database.admin.disable("item")
    await stranger.close()
    try await roles.drop("stranger")
  }
  @Test("on a table that others need is not to be had, but on the turn of a stream that it may read")
  func tables() async throws {
    let attacked = try await AttackedDatabase.shared()
    let tables = try await attacked.database.pool.query(
      """
      SELECT c.oid::regclass::text FROM pg_class AS c
      WHERE c.relkind IN ('r', 'p', 'v') AND c.relnamespace::regnamespace::text IN ('tidemark', 'tidemark_leases')
      ORDER BY 1
      """
    ).map { try $0.decode(String.self) }
    var locked: [String] = []
    for principal in AttackedDatabase.principals {
      let session = try StreamDatabase.makePool(attacked.roles.url(principal), connections: 1)
      for table in tables {
        do {
          // The weakest mode that keeps any other session from writing.
          try await session.transaction {
            try await $0.execute(PQStatement(stringLiteral: "LOCK TABLE \(table) IN SHARE MODE NOWAIT"))
          }
          locked.append("\(principal): \(table)")
        } catch let error as PQError where error.sqlState == "42501" {}
      }
      await session.close()
    }
    #expect(tables.count > 30)
    #expect(locked == ["consumer: tidemark.turn_1"])
  }
  @Test("on the turn to plan, which only a consumer can have, is reported with the session that has it")
  func planning() async throws {
    let database = try await StreamDatabase.make()
    let log = CollectedLog()
    let store = PostgresLeaseStore(
      try PQConfiguration(url: database.url),
      pool: database.pool,
      logger: log.logger
    )
    let scope = LeaseScope(application: "a")
    try await database.run("INSERT INTO tidemark_leases.plan_turn VALUES ('a'), ('b')")
    await store.tellOfPlanner(in: scope)
    #expect(log.lines == [])
    try await database.pool.transaction { transaction in
      let holder = try await transaction.query(
        "SELECT pg_backend_pid() FROM tidemark_leases.plan_turn WHERE application = 'a' FOR UPDATE"
      )[0].decode(Int32.self)
      await store.tellOfPlanner(in: LeaseScope(application: "b"))
      #expect(log.lines == [])
      await store.tellOfPlanner(in: scope)
      #expect(log.lines.count == 1)
      #expect(log.lines.allSatisfy { $0.contains("held by: process \(holder) of role") }, "\(log.lines)")
      #expect(log.lines.allSatisfy { $0.contains("pg_terminate_backend(\(holder))") })
    }
  }

  @Test("is reported once it has lasted for five seconds, and every thirty from then on")
  func patience() {
    var wait = LongWait()
    let start = ContinuousClock.now
    func isDue(_ seconds: Double, waits: Bool = true) -> Bool {
      wait.isDue(waits: waits, at: start.advanced(by: .seconds(seconds)))
    }
    #expect([0, 2, 4.9].map { isDue($0) } == [false, false, false])
    #expect(
      [5, 9, 14, 19, 24, 29, 34, 35].map { isDue($0) } == [true] + Array(repeating: false, count: 6) + [true]
    )
    #expect([isDue(36, waits: false), isDue(38), isDue(42.9), isDue(43)] == [false, false, false, true])
    // Nobody has looked for so long that it may be another wait.
    #expect([isDue(100), isDue(103), isDue(105)] == [false, false, true])
  }
}
