import FleetDrill
import LibPQ
import LocalPostgres
import Logging
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// Real processes, a real PostgreSQL: four shards, three workers, steady writes. One test at a time, since each
/// measures how fast things happen.
@Suite("A fleet of processes", .needsMachineAlone, .serialized)
struct FleetTests {
  private static let names = ["a", "b", "c"]

  @Test("a worker that was stopped past the failover time and goes on cannot move a checkpoint")
  func pause() async throws {
    try await FleetUnderTest.run(failover: .seconds(1), recordPause: .milliseconds(1)) { test in
      let members = try Self.names.map { try test.start($0) }
      try await test.waitForBalance(of: Self.names)
      for victim in members {
        let shards = try await test.fleet.standing().shards(of: victim.name)
        let balanced = HistoryEntry.now()
        try await test.fleet.wait("\(victim.name) handles records of each of its shards") {
          let handled = try test.fleet.history().filter {
            $0.worker == victim.name && $0.kind == .handled && $0.at > balanced
          }
          return Set(handled.map(\.shard)).isSuperset(of: shards)
        }
        let moment = HistoryEntry.now()
        victim.pause()
        _ = try await test.recoveries(of: shards, from: victim.name, since: moment)
        victim.resume()
        try await test.fleet.wait("\(victim.name) tries stale checkpoints") {
          let tried = try test.fleet.history().filter {
            $0.worker == victim.name && $0.at > moment
              && [.staleCheckpointRefused, .staleCheckpointAccepted].contains($0.kind)
          }
          return Set(tried.map(\.shard)).isSuperset(of: shards)
        }
        try await test.waitForBalance(of: Self.names)
      }
      let check = try await test.finish()
      #expect(check.refusedCheckpoints >= 3)
    }
  }

  @Test("leases and streams are in different databases, and a crash and a drain go as elsewhere")
  func leasesElsewhere() async throws {
    try await FleetUnderTest.run(hasLeasesElsewhere: true) { test in
      let members = try Self.names.map { try test.start($0) }
      try await test.waitForBalance(of: Self.names)
      let shards = try await test.fleet.standing().shards(of: members[0].name)
      let moment = HistoryEntry.now()
      members[0].crash()
      _ = try await test.recoveries(of: shards, from: members[0].name, since: moment)
      try await test.waitForBalance(of: ["b", "c"])
      _ = try await test.finish()
      let schemas = "SELECT string_agg(nspname, ',') FROM pg_namespace WHERE nspname LIKE 'tidemark%'"
      for (pool, schema) in [(test.fleet.pool, "tidemark"), (test.fleet.leasePool, "tidemark_leases")] {
        let present = try await pool.query(PQStatement(stringLiteral: schemas))[0].decode(String.self)
        #expect(present == schema)
      }
    }
  }

  @Test("children start only after their parent's end, and long before the next shard sync")
  func split() async throws {
    try await FleetUnderTest.run { test in
      for name in Self.names { _ = try test.start(name) }
      try await test.waitForBalance(of: Self.names)
      var gaps: [Duration] = []
      for _ in 0..<5 {
        let lease = try #require(try await test.fleet.standing().leases.first { !$0.isEnded })
        let children = try await test.fleet.admin.split(lease.shardID, of: "orders")
        try await test.fleet.wait("the children are read") {
          let started = try test.fleet.history().filter { $0.kind == .leaseStarted }.map(\.shard)
          return Set(started).isSuperset(of: children)
        }
        let history = try test.fleet.history()
        let end = try #require(history.last { $0.shard == lease.shardID && $0.kind == .shardEnded }).at
        for child in children {
          let start = try #require(history.first { $0.shard == child && $0.kind == .leaseStarted }).at
          gaps.append(.microseconds(start - end))
        }
        try await test.waitForBalance(of: Self.names)
      }
      #expect(gaps.allSatisfy { $0 > .zero })
      // Of children that only the next shard sync finds, two of three start later than this.
      let bound = WorkerConfiguration().reading.shardSyncInterval / 3
      #expect(gaps.sorted()[gaps.count / 2] < bound, "\(gaps)")
      _ = try await test.finish()
    }
  }

  @Test("a merge under load waits for both parents")
  func merge() async throws {
    try await FleetUnderTest.run { test in
      for name in Self.names { _ = try test.start(name) }
      try await test.waitForBalance(of: Self.names)
      let open = try await test.fleet.admin.describe("orders").shards.sorted {
        ($0.hashRange?.start ?? 0) < ($1.hashRange?.start ?? 0)
      }
      let child = try await test.fleet.admin.merge(open[1].id, open[2].id, of: "orders")
      try await test.fleet.wait("the child is read") {
        try test.fleet.history().contains { $0.shard == child && $0.kind == .handled }
      }
      _ = try await test.finish()
    }
  }

  @Test("a restart of the database loses nothing and takes no lease from anybody", arguments: [true, false])
  func restart(immediately: Bool) async throws {
    try await FleetUnderTest.run(failover: .seconds(4)) { test in
      for name in Self.names { _ = try test.start(name) }
      try await test.waitForBalance(of: Self.names)
      try await test.expectLeasesStay(failover: .seconds(4)) {
        try await test.server.restart(mode: immediately ? .immediate : .fast)
      }
      _ = try await test.finish()
    }
  }

  @Test(
    "the promotion of a standby loses nothing and takes no lease from anybody, however long it takes",
    arguments: [Duration.zero, .seconds(6)]
  )
  func promotion(after outage: Duration) async throws {
    try await FleetUnderTest.run(failover: .seconds(4), standby: .synchronous) { test in
      for name in Self.names { _ = try test.start(name) }
      try await test.waitForBalance(of: Self.names)
      try await test.expectLeasesStay(failover: .seconds(4)) {
        await test.server.stop(mode: .immediate)
        try await ContinuousClock().sleep(for: outage)
        try await Standby.promote(try #require(test.standby))
      }
      _ = try await test.finish()
    }
  }

  @Test("a stream that is disabled under load is read to its end")
  func disable() async throws {
    try await FleetUnderTest.run { test in
      for name in Self.names { _ = try test.start(name) }
      try await test.waitForBalance(of: Self.names)
      // What is written after the disabling is in the table but not in the stream, so the writes end first.
      test.load.stop()
      try await test.fleet.wait("the writers have stopped") {
        let before = test.load.transactions
        try await ContinuousClock().sleep(for: .milliseconds(100))
        return test.load.transactions == before
      }
      _ = try await test.fleet.admin.disable("orders")
      try await test.fleet.wait("every lease has ended") {
        try await test.fleet.standing().leases.allSatisfy(\.isEnded)
      }
      _ = try await test.finish()
    }
  }

  @Test(
    "a stream that gives way to the next one of its name under load is drained first, and nothing is lost"
  )
  func succession() async throws {
    try await FleetUnderTest.run { test in
      for name in Self.names.prefix(2) { _ = try test.start(name) }
      try await test.waitForBalance(of: Array(Self.names.prefix(2)))
      let first = try await test.fleet.admin.describe("orders")
      // In one transaction, so that no write falls in between, which nobody would capture.
      try await test.fleet.pool.transaction { transaction in
        try await transaction.execute("SELECT tidemark.disable_stream(tidemark.find_stream('orders'))")
        try await transaction.execute(
          "SELECT tidemark.enable_stream('orders', shard_count => 3)"
        )
      }
      _ = try test.start(Self.names[2])
      let second = try await test.fleet.admin.describe("orders")
      #expect(second.label != first.label)
      try await test.fleet.wait("every shard of the second stream is read") {
        let handled = try test.fleet.history().filter { $0.kind == .handled }.map(\.shard)
        return Set(handled).isSuperset(of: second.shards.map(\.id))
      }
      _ = try await test.finish()
      let leases = try await test.fleet.standing().leases
      #expect(Set(leases.map(\.shardID)) == Set((first.shards + second.shards).map(\.id)))
    }
  }

  @Test(
    "the schemas are migrated under a fleet, whose workers are replaced one by one, and nothing is given twice"
  )
  func upgrade() async throws {
    try await FleetUnderTest.run(recordPause: .milliseconds(5)) { test in
      var members = try Self.names.map { try test.start($0) }
      try await test.waitForBalance(of: Self.names)
      try await test.migrateToNextVersion()
      try await test.fleet.wait("every shard is read after the migration") { [moment = HistoryEntry.now()] in
        let handled = try test.fleet.history().filter { $0.at > moment && $0.kind == .handled }.map(\.shard)
        return Set(handled).count == 4
      }
      for successor in ["d", "e", "f"] {
        members.append(try test.start(successor))
        try await test.waitForBalance(of: members.map(\.name))
        let predecessor = members.removeFirst()
        predecessor.terminate()
        try await predecessor.waitUntilExit()
        #expect(predecessor.exitStatus == 0)
        try await test.waitForBalance(of: members.map(\.name))
      }
      let check = try await test.finish()
      #expect(check.repeats == 0)
    }
  }
}

extension FleetUnderTest {
  /// Migrates both schemas beside the load, and beside a transaction that has written before and goes on for long.
  fileprivate func migrateToNextVersion() async throws {
    let migrators = [TidemarkSchema.nextLeases, .nextStreams].map { schema in
      var migrator = Migrator(fleet.pool, schema: schema, logger: Logger(label: "tidemark.test"))
      migrator.patience = .seconds(120)
      return migrator
    }
    let (beginning, hasBegun) = AsyncStream<Void>.makeStream()
    let (ending, mayEnd) = AsyncStream<Void>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { hasBegun.finish() }
        try await self.fleet.pool.transaction { writer in
          try await writer.execute(
            """
            WITH changed AS (
              INSERT INTO orders (customer, status, amount) VALUES (1, 'placed', 1) RETURNING id, version)
            INSERT INTO order_journal SELECT id, 'INSERT', version FROM changed
            """
          )
          hasBegun.finish()
          for await _ in ending {}
        }
      }
      for await _ in beginning {}
      group.addTask { for migrator in migrators { try await migrator.migrate() } }
      try await fleet.wait("the migration waits", every: .milliseconds(1)) {
        try await fleet.pool.query(
          """
          SELECT EXISTS (SELECT FROM pg_locks l
            WHERE l.relation = 'tidemark.inbox_1'::regclass AND l.mode = 'AccessExclusiveLock' AND NOT l.granted)
          """
        )[0].decode(Bool.self)
      }
      // Two seconds' worth: without end if they waited for the migration, which waits for this transaction.
      let before = load.transactions
      try await fleet.wait("writers go on") { load.transactions > before + 400 }
      #expect(try await migrators[1].currentVersion() == 1)
      mayEnd.finish()
      try await group.waitForAll()
    }
    #expect(load.slowest < .seconds(5), "writers waited for more than a few attempts of the migration")
    let made = try await fleet.pool.query(
      """
      SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace AND p.proname ~ '_1$'
        AND p.prosrc LIKE '%generator 2%'
      """
    )
    #expect(try made[0].decode(Int.self) == 4)
  }
}
