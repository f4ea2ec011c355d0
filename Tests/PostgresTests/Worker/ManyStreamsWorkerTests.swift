import LibPQ
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkTestKit

@testable import TidemarkStreams

@Suite("A worker of many streams on PostgreSQL", .sharesMachine)
struct ManyStreamsWorkerTests {
  /// How many records of each stream were handled.
  private final class Handled: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    var all: [String: Int] { counts.withLock { $0 } }

    func add(_ stream: String, _ count: Int) { counts.withLock { $0[stream, default: 0] += count } }
  }

  private struct Counter: RecordProcessor {
    var stream: String
    var handled: Handled

    mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
      try await checkpointer.checkpoint()
      handled.add(stream, batch.count)
    }
  }

  private let handled = Handled()

  private func run(_ workers: [Worker], _ body: () async throws -> Void) async throws {
    let group = ServiceGroup(services: workers, logger: StreamDatabase.logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      try await body()
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }

  private static var configuration: WorkerConfiguration {
    var configuration = WorkerConfiguration()
    configuration.reading.shardSyncInterval = .milliseconds(100)
    return configuration
  }

  @Test(
    "reads all streams that match, also those that are enabled while it runs, and lets go of those that are gone"
  )
  func patterns() async throws {
    let database = try await StreamDatabase.make()
    for name in ["shop.order", "shop.item", "other"] {
      try await database.admin.create(name, shardCount: 2)
      try await database.run("SELECT tidemark.put('\(name)', 'k', 'x')")
    }
    let handled = handled
    let worker = try Worker(
      application: "test",
      streams: ["shop.*", "late"],
      database: database.url,
      configuration: Self.configuration,
      logger: StreamDatabase.logger,
      processor: { Counter(stream: $0.stream, handled: handled) }
    )
    try await run([worker]) {
      try await eventually("both are read") { handled.all == ["shop.order": 1, "shop.item": 1] }
      for name in ["late", "shop.late", "others"] {
        try await database.admin.create(name, shardCount: 1)
        try await database.run("SELECT tidemark.put('\(name)', 'k', 'x')")
      }
      try await eventually("the new ones are read") {
        handled.all == ["shop.order": 1, "shop.item": 1, "late": 1, "shop.late": 1]
      }
      let workers = try await database.number("SELECT count(*) FROM tidemark_leases.worker")
      #expect(workers == 1, "one registration for all")
      try await database.admin.disable("shop.item")
      try await database.admin.drop("shop.item")
      try await eventually("the stream that is gone is not served") {
        try await database.text(
          "SELECT string_agg(stream, ' ' ORDER BY stream) FROM tidemark_leases.worker_stream"
        )
          == "late shop.late shop.order"
      }
      try await database.run("SELECT tidemark.put('late', 'k', 'x')")
      try await eventually("the others are read on") { handled.all["late"] == 2 }
    }
  }

  @Test("reads streams of different kinds side by side")
  func mixed() async throws {
    let database = try await StreamDatabase.make()
    try await database.admin.create("table", shardCount: 2)
    let memory = InMemoryStream(name: "memory", shardCount: 2, pageWait: .milliseconds(50))
    let handled = handled
    let workers = try ["a", "b"].map { name in
      try Worker(
        application: "test",
        streams: [try database.stream("table"), memory],
        leases: database.leases(),
        configuration: Self.configuration,
        identity: WorkerIdentity(workerID: name, host: "here", processID: 1),
        logger: StreamDatabase.logger,
        processor: { Counter(stream: $0.stream, handled: handled) }
      )
    }
    try await run(workers) {
      try await eventually("each has two of the four leases") {
        try await database.text(
          "SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM tidemark_leases.lease GROUP BY owner) AS c"
        ) == "2 2"
      }
      for key in 1...10 {
        try memory.put([0], partitionKey: "\(key)")
        try await database.run("SELECT tidemark.put('table', 'k\(key)', 'x')")
      }
      try await eventually("all are handled") { handled.all == ["table": 10, "memory": 10] }
    }
  }

  @Test(
    "with rights to some of its application's streams plans those, and the others' leases wait for the others"
  )
  func rights() async throws {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    let leases = try database.leases()
    let handled = handled
    var workers: [Worker] = []
    var pools: [PQPool] = []
    for (role, stream) in [("left", "one"), ("right", "two")] {
      try await roles.create(role)
      try await database.admin.create(stream, shardCount: 2)
      try await database.admin.grant(.consumer, to: roles.name(role), stream: stream, application: "test")
      try await leases.grant(.consumer, to: roles.name(role), application: "test", stream: stream)
      let pool = try StreamDatabase.makePool(roles.url(role), connections: 4)
      pools.append(pool)
      workers.append(
        try Worker(
          application: "test",
          streams: [stream],
          database: try PQConfiguration(url: roles.url(role)),
          pool: pool,
          configuration: Self.configuration,
          logger: StreamDatabase.logger,
          processor: { Counter(stream: $0.stream, handled: handled) }
        )
      )
    }
    try await run(workers) {
      for stream in ["one", "two"] { try await database.run("SELECT tidemark.put('\(stream)', 'k', 'x')") }
      try await eventually("both are read") { handled.all == ["one": 1, "two": 1] }
      // Nobody sees to all changes, so each has noted what it has seen to, and looks find nothing to plan.
      try await eventually("no look calls for a plan") {
        try await database.number(
          """
          SELECT count(*) FROM tidemark_leases.worker AS w JOIN tidemark_leases.lease_scope AS s USING (application)
          WHERE s.change_version > greatest(s.planned_version, w.planned_version)
          """
        ) == 0
      }
      let owners = try await database.number(
        "SELECT count(DISTINCT (stream, owner)) FROM tidemark_leases.lease"
      )
      #expect(owners == 2)
    }
    for pool in pools { await pool.close() }
    try await roles.drop("left", "right")
  }

  @Test(
    "with rights to some of its application's streams leaves a change that the others have to plan to them"
  )
  func partialPlan() async throws {
    let database = try await StreamDatabase.make()
    let roles = StreamRoles(database: database)
    let scope = LeaseScope(application: "test")
    var stores: [PostgresLeaseStore] = []
    var workers: [WorkerIncarnation] = []
    var pools: [PQPool] = []
    for (role, stream) in [("left", "one"), ("right", "two")] {
      try await roles.create(role)
      try await database.leases()
        .grant(.consumer, to: roles.name(role), application: "test", stream: stream)
      let pool = try StreamDatabase.makePool(roles.url(role), connections: 4)
      pools.append(pool)
      let url = try PQConfiguration(url: roles.url(role))
      let store = PostgresLeaseStore(url, pool: pool, logger: StreamDatabase.logger)
      stores.append(store)
      workers.append(
        try await store.register(
          WorkerRegistration(
            scope: scope,
            streams: [stream],
            workerID: role,
            host: "host",
            processID: 1,
            failoverInterval: .seconds(60)
          )
        )
      )
    }
    let lease = NewLease(stream: "two", shard: Shard(id: "a"), checkpoint: .trimHorizon)
    _ = try await stores[1].createLeases([lease], in: scope)
    #expect(try await stores[0].leases(in: scope) == [])
    func plan(_ index: Int) async throws -> PlanOutcome {
      try await stores[index].plan(as: workers[index], in: scope, handoffTimeout: .seconds(60)) {
        AssignmentPlanner().plan($0)
      }
    }
    func needsPlan(_ index: Int) async throws -> Bool {
      try await stores[index].look(as: workers[index], in: scope).needsPlan
    }
    #expect(try await plan(0) == .applied([], dead: []))
    #expect(try await [needsPlan(0), needsPlan(1)] == [false, true])
    #expect(try await plan(1) == .applied([.assign(lease.key, to: workers[1])], dead: []))
    #expect(try await [needsPlan(0), needsPlan(1)] == [false, false])
    await #expect(throws: TidemarkError.self, "it has no right to that stream") {
      try await stores[0].serve(["one", "two"], version: 1, as: workers[0], in: scope)
    }
    for (store, worker) in zip(stores, workers) { try await store.deregister(worker, in: scope) }
    for pool in pools { await pool.close() }
    try await roles.drop("left", "right")
  }

  @Test("finds the same object for a stream each time, in a catalog by names, patterns or a closure")
  func catalog() async throws {
    let database = try await StreamDatabase.make()
    for name in ["a.x", "a.y", "b"] { try await database.admin.create(name, shardCount: 1) }
    func names(_ catalog: PostgresStreams) async throws -> [String] {
      let streams = try await catalog.streams()
      let again = try await catalog.streams()
      #expect(zip(streams, again).allSatisfy { ($0 as AnyObject) === ($1 as AnyObject) })
      return try await withThrowingTaskGroup(of: String.self) { group in
        for stream in streams { group.addTask { try await stream.streamName() } }
        return try await group.reduce(into: []) { $0.append($1) }.sorted()
      }
    }
    let pool = database.pool
    #expect(try await names(PostgresStreams(matching: "a.*", pool: pool)) == ["a.x", "a.y"])
    #expect(try await names(PostgresStreams(matching: ["b", "*.y", "c"], pool: pool)) == ["a.y", "b"])
    #expect(try await names(PostgresStreams(pool: pool) { $0.count == 1 }) == ["b"])
  }

  @Test(
    "lists the shards of all its streams together, as each lists its own, and leaves those out that are gone"
  )
  func shards() async throws {
    let database = try await StreamDatabase.make()
    for name in ["a", "b", "gone"] { try await database.admin.create(name, shardCount: 3) }
    let shard = try await database.admin.describe("b").shards[0].id
    try await database.admin.split(shard, of: "b")
    let catalog = PostgresStreams(matching: "*", pool: database.pool)
    var streams: [String: any StreamSource] = ["memory": InMemoryStream(name: "memory", shardCount: 1)]
    for stream in try await catalog.streams() { streams[try await stream.streamName()] = stream }
    try await database.admin.disable("gone")
    try await database.admin.drop("gone")
    let shards = try await catalog.shards(of: streams)
    #expect(Set(shards.keys) == ["a", "b"])
    for (name, listed) in shards { #expect(try await streams[name]?.shards() == listed) }
    #expect(shards["b"]?.count == 5)
  }

  @Test(
    "matches names to patterns",
    arguments: [
      ("a", "a", true), ("a", "ab", false), ("*", "", true), ("*", "x", true), ("a*", "a", true),
      ("a*", "ba", false), ("*b", "ab", true), ("*b", "ba", false), ("a*c", "abc", true), ("a*c", "ac", true),
      ("a*a", "a", false), ("a*b*c", "axxbyyc", true), ("a*b*c", "acb", false), ("a**c", "abc", true),
      ("a.%", "a.b", false), ("*ab*ab", "ab", false), ("*ab*ab", "abab", true),
    ]
  )
  func matching(pattern: String, name: String, isMatch: Bool) {
    #expect(NamePattern(pattern).matches(name) == isMatch)
  }
}
