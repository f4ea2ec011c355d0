import Synchronization
import Tidemark

/// The scope of one conformance case and short words for what cases do in it.
final class LeaseStoreFixture: Sendable {
  let environment: any LeaseStoreEnvironment
  let store: any LeaseStore
  let scope: LeaseScope
  private let registered = Mutex<[(WorkerIncarnation, any LeaseStore)]>([])

  init(environment: any LeaseStoreEnvironment, store: any LeaseStore, scope: LeaseScope) {
    self.environment = environment
    self.store = store
    self.scope = scope
  }

  /// Runs a case in a scope of its own.
  static func with(
    _ environment: any LeaseStoreEnvironment,
    _ body: (LeaseStoreFixture) async throws -> Void
  ) async throws {
    let scope = LeaseScope(application: "conformance-\(UInt64.random(in: 0 ... .max))")
    let store = try await environment.makeStore()
    let fixture = LeaseStoreFixture(environment: environment, store: store, scope: scope)
    do {
      try await body(fixture)
    } catch {
      try? await fixture.deregisterAll()
      throw error
    }
    try await fixture.deregisterAll()
  }

  var failover: Duration { environment.failoverInterval }

  // MARK: Workers

  /// Registers a worker, by default one that nobody takes for dead because of its heartbeat.
  func register(
    _ name: String = "worker",
    failover: Duration = .seconds(60),
    maximumLeases: Int? = nil,
    streams: Set<String> = [OneStream.name],
    at store: (any LeaseStore)? = nil
  ) async throws -> WorkerIncarnation {
    let store = store ?? self.store
    let incarnation = try await store.register(
      WorkerRegistration(
        scope: scope,
        streams: streams,
        workerID: name,
        host: "host",
        processID: 1,
        failoverInterval: failover,
        maximumLeases: maximumLeases
      )
    )
    registered.withLock { $0.append((incarnation, store)) }
    return incarnation
  }

  func deregisterAll() async throws {
    for incarnation in registered.withLock({ $0.map(\.0) }) { try await deregister(incarnation) }
  }

  func deregister(_ incarnation: WorkerIncarnation) async throws {
    try await home(of: incarnation).deregister(incarnation, in: scope)
  }

  func hints(for incarnation: WorkerIncarnation) -> AsyncStream<Void> {
    home(of: incarnation).hints(for: incarnation, in: scope)
  }

  /// The store that a worker was registered with.
  private func home(of incarnation: WorkerIncarnation) -> any LeaseStore {
    registered.withLock { $0.first { $0.0 == incarnation }?.1 } ?? store
  }

  @discardableResult
  func beat(
    _ incarnation: WorkerIncarnation,
    _ state: WorkerRecord.State = .active,
    refusing refused: Set<LeaseKey> = [],
    measurements: [LeaseKey: Heartbeat.Measurement] = [:]
  ) async throws -> HeartbeatReply? {
    let beat = Heartbeat(
      incarnation: incarnation,
      scope: scope,
      state: state,
      refused: refused,
      measurements: measurements
    )
    // A session that was just lost may be noticed only by the first statement after it.
    for _ in 1...20 {
      do {
        return try await home(of: incarnation).heartbeat(beat)
      } catch let error as TidemarkError where error.isRetryable {
        try await environment.pass(.milliseconds(10))
      }
    }
    return try await home(of: incarnation).heartbeat(beat)
  }

  /// Lets time pass while these workers beat.
  func pass(_ duration: Duration, beating workers: WorkerIncarnation...) async throws {
    let step = failover / 10
    for _ in 0..<Int((duration / step).rounded(.up)) {
      try await environment.pass(step)
      for worker in workers { try await beat(worker) }
    }
  }

  func state(of incarnation: WorkerIncarnation) async throws -> WorkerRecord.State? {
    try await store.workers(in: scope).first { $0.incarnation == incarnation }?.state
  }

  func needsPlan(_ incarnation: WorkerIncarnation) async throws -> Bool {
    try await store.look(as: incarnation, in: scope).needsPlan
  }

  // MARK: Leases

  /// Adds leases at `TRIM_HORIZON`.
  func create(_ shardIDs: String...) async throws {
    try await create(shardIDs.map { Shard(id: $0) })
  }

  func create(
    _ shards: [Shard],
    of stream: String = OneStream.name,
    at checkpoint: Checkpoint = .trimHorizon
  ) async throws {
    let leases = shards.map { NewLease(stream: stream, shard: $0, checkpoint: checkpoint) }
    _ = try await store.createLeases(leases, in: scope)
  }

  func lease(_ shardID: String, file: String = #fileID, line: Int = #line) async throws -> Lease {
    try unwrap(await store.lease(shardID, in: scope), "The lease of \(shardID)", file: file, line: line)
  }

  /// Runs a planning round, again if somebody else is in the middle of one.
  @discardableResult
  func plan(
    as planner: WorkerIncarnation,
    handoffTimeout: Duration = .seconds(60),
    _ decide: @escaping @Sendable (FleetSnapshot) -> [Assignment] = { _ in [] }
  ) async throws -> PlanOutcome {
    for _ in 1...100 {
      let outcome = try await store.plan(
        as: planner,
        in: scope,
        handoffTimeout: handoffTimeout,
        decide: decide
      )
      if outcome != .busy { return outcome }
      try await environment.pass(.milliseconds(10))
    }
    return .busy
  }

  /// Runs a planning round and returns what it showed.
  func snapshot(as planner: WorkerIncarnation) async throws -> FleetSnapshot {
    let shown = Mutex<FleetSnapshot?>(nil)
    let outcome = try await plan(as: planner) { snapshot in
      shown.withLock { $0 = snapshot }
      return []
    }
    return try unwrap(shown.withLock { $0 }, "A snapshot (the plan's outcome is \(outcome))")
  }

  /// Gives an unowned lease to a worker.
  @discardableResult
  func grant(_ shardID: String, to owner: WorkerIncarnation) async throws -> LeaseGrant {
    try await grant([shardID], to: owner)[0]
  }

  func grant(_ shardIDs: [String], to owner: WorkerIncarnation) async throws -> [LeaseGrant] {
    try await grant(shardIDs.map(OneStream.key), to: owner)
  }

  func grant(_ keys: [LeaseKey], to owner: WorkerIncarnation) async throws -> [LeaseGrant] {
    let steps = keys.map { Assignment.assign($0, to: owner) }
    let outcome = try await plan(as: owner) { _ in steps }
    try expectEqual(outcome, .applied(steps, dead: []), "Granting the leases")
    let epochs = try await store.leases(in: scope).map { ($0.key, $0.epoch) }
    let epoch = Dictionary(uniqueKeysWithValues: epochs)
    return keys.map {
      LeaseGrant(scope: scope, key: $0, owner: owner, epoch: epoch[$0] ?? Epoch(0))
    }
  }

  /// Creates a lease and gives it to a new worker.
  func grantNew(_ shardID: String = "a") async throws -> LeaseGrant {
    try await create(shardID)
    return try await grant(shardID, to: register())
  }

  func checkpoint(_ checkpoint: Checkpoint, _ grant: LeaseGrant) async throws -> WriteOutcome {
    let outcomes = try await store.checkpoint([CheckpointWrite(grant: grant, checkpoint: checkpoint)])
    try expectEqual(outcomes.count, 1, "Outcomes of one write")
    return outcomes[0]
  }

  /// Every write that an owner has, as a sentence's end and what became of it.
  func allWrites(_ grant: LeaseGrant) async throws -> [(String, WriteOutcome)] {
    let write = CheckpointWrite(grant: grant, checkpoint: .record(1000))
    let pending = Lease.PendingCheckpoint(checkpoint: .record(1000), state: [1])
    return [
      ("checkpoint", try await checkpoint(.record(1000), grant)),
      ("prepareCheckpoint", try await store.prepareCheckpoint(pending, for: grant)),
      ("deadLetter", try await store.deadLetter([letter(1000)], passing: write)),
      ("endShard", try await store.endShard(grant, children: [Shard(id: "child-of-nobody")])),
      ("stop", try await store.stop(grant, reason: "test")),
      ("transfer", try await store.transfer(grant)),
    ]
  }

  func letter(_ sequenceNumber: SequenceNumber) -> DeadLetter {
    let record = Record(
      sequenceNumber: sequenceNumber,
      partitionKey: "key\0",
      approximateCreationTime: Timestamp(millisecondsSinceEpoch: 1_000),
      body: .data([0, 1, 255])
    )
    return DeadLetter(record: record, attempts: 3, reason: "It failed.\0")
  }
}
