import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkStreams

@Suite("tidemark leases and workers", .sharesMachine)
struct FleetInspectionTests {
  /// An application with a worker that owns the first of two shards, while the second has stopped.
  private struct Fleet {
    let database: CommandDatabase
    let scope = LeaseScope(application: "app")
    let worker: WorkerIncarnation
    /// Its end would be the worker's.
    let store: PostgresLeaseStore

    static func make() async throws -> Fleet {
      let database = try await CommandDatabase.make()
      let store = database.store
      let scope = LeaseScope(application: "app")
      let worker = try await store.register(
        WorkerRegistration(
          scope: scope,
          streams: ["orders/1"],
          workerID: "w1",
          host: "h1",
          processID: 17,
          failoverInterval: .seconds(5)
        )
      )
      let shards = [Shard(id: "a"), Shard(id: "b", parentIDs: ["a"])]
      _ = try await store.createLeases(
        shards.map { NewLease(stream: "orders/1", shard: $0, checkpoint: .trimHorizon) },
        in: scope
      )
      try await database.run(
        """
        UPDATE tidemark_leases.lease SET owner = \(worker.number), epoch = 1, checkpoint = '42' WHERE shard_id = 'a';
        UPDATE tidemark_leases.lease SET stopped_reason = 'poison', checkpoint = '7' WHERE shard_id = 'b';
        """
      )
      return Fleet(database: database, worker: worker, store: store)
    }

    func reset(_ arguments: String...) async throws -> CommandOutcome {
      try await database.tidemark.start(["leases", "reset", "--application", "app"] + arguments).outcome
    }
  }

  private static func key(_ shardID: String) -> LeaseKey { LeaseKey(stream: "orders/1", shardID: shardID) }

  @Test("leases list shows an application's leases with their owners' names")
  func leases() async throws {
    let fleet = try await Fleet.make()
    let text = try await fleet.database.tidemark.run("leases", "list", "--application", "app")
    #expect(text.table.first?.prefix(3) == ["STREAM", "SHARD", "OWNER"])
    #expect(text.table[1].prefix(6) == ["orders/1", "a", "w1", "#\(fleet.worker)", "1", "42"])
    #expect(text.table[2].last == "poison")
    let json = try await fleet.database.tidemark.run(
      "leases",
      "list",
      "--application",
      "app",
      "--stream",
      "orders",
      "--json"
    )
    let leases = try #require(try json.decode([String: [LeaseDocument]].self)["leases"])
    #expect(leases.map(\.shardId) == ["a", "b"])
    #expect(leases[0].owner == LeaseDocument.Worker(workerId: "w1", incarnation: fleet.worker.number))
    #expect(leases[1].owner == nil && leases[1].stoppedReason == "poison")
    let none = try await fleet.database.tidemark.run("leases", "list", "--application", "other")
    #expect(none.status == 0 && none.output == "There are no such leases.\n")
  }

  @Test("leases list without an application lists the applications")
  func applications() async throws {
    struct Application: Decodable, Equatable {
      var application: String
      var stream: String
      var liveWorkers: Int
      var leases: Int
      var ownedLeases: Int
      var stoppedLeases: Int
    }
    let fleet = try await Fleet.make()
    let text = try await fleet.database.tidemark.run("leases", "list")
    #expect(text.table.last == ["app", "orders/1", "1", "2", "1", "0", "1", "0", "-"])
    let json = try await fleet.database.tidemark.run("leases", "list", "--json")
    #expect(
      try json.decode([String: [Application]].self) == [
        "applications": [
          Application(
            application: "app",
            stream: "orders/1",
            liveWorkers: 1,
            leases: 2,
            ownedLeases: 1,
            stoppedLeases: 1
          )
        ]
      ]
    )
  }

  @Test("workers list shows each worker with its state, heartbeat and leases")
  func workers() async throws {
    struct Worker: Decodable {
      var workerId: String
      var state: String
      var host: String
      var processId: Int
      var heartbeatAgeSeconds: Double
      var failoverIntervalSeconds: Double
      var ownedLeases: Int
    }
    let fleet = try await Fleet.make()
    let text = try await fleet.database.tidemark.run("workers", "list")
    let row = try #require(text.table.last)
    #expect(row.prefix(7) == ["w1", "\(fleet.worker)", "app", "orders/1", "active", "h1", "17"])
    #expect(row.suffix(2) == ["5s", "1"])
    let json = try await fleet.database.tidemark.run("workers", "list", "--application", "app", "--json")
    let worker = try #require(try json.decode([String: [Worker]].self)["workers"]?.first)
    #expect(worker.workerId == "w1" && worker.state == "active" && worker.processId == 17)
    #expect(worker.failoverIntervalSeconds == 5 && worker.heartbeatAgeSeconds > 0 && worker.ownedLeases == 1)
    let others = try await fleet.database.tidemark.run("workers", "list", "--application", "other")
    #expect(others.output == "There are no such workers.\n")
  }

  @Test("reset moves the checkpoint, takes the lease from its owner and raises the epoch")
  func reset() async throws {
    let fleet = try await Fleet.make()
    let time = "AT_TIMESTAMP:2025-01-02T03:04:05.5+01:00"
    let outcome = try await fleet.reset("--stream", "orders", "--shard", "a", "--to", time, "--yes", "--json")
    #expect(outcome.status == 0)
    let shown = try #require(try outcome.decode([String: [LeaseDocument]].self)["leases"])
    #expect(shown.map(\.checkpoint) == ["AT_TIMESTAMP:2025-01-02T02:04:05.500000Z"])
    let lease = try #require(try await fleet.store.lease(Self.key("a"), in: fleet.scope))
    #expect(lease.checkpoint == .atTimestamp(Timestamp(millisecondsSinceEpoch: 1_735_783_445_500)))
    #expect(lease.owner == nil && lease.epoch == Epoch(2))
    #expect(try await fleet.store.lease(Self.key("b"), in: fleet.scope)?.checkpoint == .record(7))
  }

  @Test("reset to current only starts what has stopped")
  func current() async throws {
    let fleet = try await Fleet.make()
    let outcome = try await fleet.reset("--stream", "orders/1", "--all", "--to", "current", "--yes")
    #expect(outcome.table.dropFirst().map { $0[1] } == ["a", "b"])
    let leases = try await fleet.store.leases(in: fleet.scope)
    #expect(leases.map(\.checkpoint) == [.record(42), .record(7)])
    #expect(leases.allSatisfy { $0.stoppedReason == nil })
    #expect(leases[0].owner == fleet.worker && leases[0].epoch == Epoch(1))
  }

  @Test("reset to SHARD_END ends a lease whose shard is gone")
  func shardEnd() async throws {
    let fleet = try await Fleet.make()
    let outcome = try await fleet.reset("--stream", "orders", "--shard", "a", "--to", "SHARD_END", "--yes")
    #expect(outcome.status == 0)
    let lease = try #require(try await fleet.store.lease(Self.key("a"), in: fleet.scope))
    #expect(lease.isEnded && lease.owner == nil)
    #expect(try await fleet.store.lease(Self.key("b"), in: fleet.scope)?.isEnded == false)
  }

  @Test("reset changes nothing without a confirmation, for an unknown shard, or without saying which")
  func refused() async throws {
    let fleet = try await Fleet.make()
    let before = try await fleet.store.leases(in: fleet.scope)
    let unconfirmed = try await fleet.reset("--stream", "orders", "--all", "--to", "LATEST")
    #expect(unconfirmed.status == 64)
    #expect(unconfirmed.errors.contains("--yes"))
    let unknown = try await fleet.reset(
      "--stream",
      "orders",
      "--shard",
      "a",
      "--shard",
      "c",
      "--to",
      "LATEST",
      "--yes"
    )
    #expect(unknown.status == 1)
    #expect(unknown.errors.contains("shard c"))
    #expect(try await fleet.reset("--stream", "orders", "--to", "LATEST", "--yes").status == 64)
    let everything = try await fleet.reset("--stream", "orders", "--all", "--to", "SHARD_END", "--yes")
    #expect(everything.status == 64)
    #expect(everything.errors.contains("Name the shards with --shard"))
    let stream = try await fleet.reset("--stream", "order", "--all", "--to", "LATEST", "--yes")
    #expect(stream.status == 1)
    #expect(stream.errors.contains("tidemark leases list"))
    #expect(try await fleet.store.leases(in: fleet.scope) == before)
  }

  @Test("reset asks for the full name where a short one means several streams")
  func ambiguous() async throws {
    let fleet = try await Fleet.make()
    let newer = NewLease(stream: "orders/2", shard: Shard(id: "z"), checkpoint: .latest)
    _ = try await fleet.store.createLeases([newer], in: fleet.scope)
    let outcome = try await fleet.reset("--stream", "orders", "--all", "--to", "TRIM_HORIZON", "--yes")
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("orders/1, orders/2"))
    #expect(try await fleet.store.lease(newer.key, in: fleet.scope)?.checkpoint == .latest)
  }
}
