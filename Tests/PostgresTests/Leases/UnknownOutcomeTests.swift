import LibPQ
import TestSupport
import Testing
import Tidemark
import TidemarkPostgres
import TidemarkTestKit

@Suite("An owner's write whose answer is lost", .sharesMachine)
struct UnknownOutcomeTests {
  enum Write: String, CaseIterable {
    case checkpoint, prepareCheckpoint, endShard, transferToNobody, transfer, stop, deadLetter

    func callAsFunction(_ grant: LeaseGrant, _ store: PostgresLeaseStore) async throws -> WriteOutcome {
      let write = CheckpointWrite(grant: grant, checkpoint: .record(1))
      switch self {
      case .checkpoint: return try await store.checkpoint([write])[0]
      case .prepareCheckpoint:
        return try await store.prepareCheckpoint(.init(checkpoint: .record(1), state: [1]), for: grant)
      case .endShard: return try await store.endShard(grant, children: [Shard(id: "child")])
      case .transferToNobody, .transfer: return try await store.transfer(grant)
      case .stop: return try await store.stop(grant, reason: "test")
      case .deadLetter:
        let record = Record(
          sequenceNumber: SequenceNumber(1),
          partitionKey: "key",
          approximateCreationTime: Timestamp(millisecondsSinceEpoch: 0),
          body: .data([1])
        )
        let letter = DeadLetter(record: record, attempts: 1, reason: "test")
        return try await store.deadLetter([letter], passing: write)
      }
    }
  }

  private func store(_ configuration: PQConfiguration) -> PostgresLeaseStore {
    PostgresLeaseStore(
      configuration,
      pool: PQPool(configuration, maximumConnections: 1, logger: LeaseDatabase.logger),
      logger: LeaseDatabase.logger
    )
  }

  @Test(
    "is done once when it is repeated, whether it was done before or not, and its repetition is accepted",
    arguments: DyingSessions.Death.allCases
  )
  func repeated(death: DyingSessions.Death) async throws {
    try await DyingSessions.with { sessions in
      try await Migrator(sessions.pool, schema: TidemarkSchema.leases.underTest, logger: LeaseDatabase.logger)
        .migrate()
      try await sessions.prepareLeases()
      let calm = store(try DyingSessions.calm(sessions.url))
      for write in Write.allCases {
        let scope = LeaseScope(application: write.rawValue)
        // What is done to the one without trouble is what must have become of the other.
        let (troubled, untroubled) = try await grants(in: scope, calm, handOff: write == .transfer)
        #expect(try await write(untroubled, calm) == .accepted)
        let before = try await calm.lease("troubled", in: scope)
        try await loseAnswer(of: write, troubled, store(sessions.victim(death)), sessions)
        let isDone = try await calm.lease("troubled", in: scope) != before
        #expect(isDone == (death == .afterCommit), "\(write)")
        for attempt in 1...2 {
          #expect(try await write(troubled, calm) == .accepted, "\(write), repeated \(attempt) times")
        }
        var lease = try #require(try await calm.lease("troubled", in: scope))
        lease.key.shardID = "untroubled"
        #expect(try await lease == calm.lease("untroubled", in: scope), "\(write)")
      }
      let letters = try await sessions.pool.query(
        "SELECT shard_id FROM tidemark_leases.dead_letter ORDER BY 1"
      ).map {
        try $0.decode(String.self)
      }
      #expect(letters == ["troubled", "untroubled"])
    }
  }

  private func loseAnswer(
    of write: Write,
    _ grant: LeaseGrant,
    _ store: PostgresLeaseStore,
    _ sessions: DyingSessions
  ) async throws {
    let outcome = Task { try await write(grant, store) }
    try await sessions.waitForCommit()
    try await sessions.kill()
    let error = await #expect(throws: TidemarkError.self) { _ = try await outcome.value }
    #expect(error?.code == .outcomeUnknown, "\(write)")
  }

  /// Two leases of one worker, to be handed to another if that is wanted.
  private func grants(
    in scope: LeaseScope,
    _ store: PostgresLeaseStore,
    handOff: Bool
  ) async throws -> (troubled: LeaseGrant, untroubled: LeaseGrant) {
    let shardIDs = ["troubled", "untroubled"]
    let (owner, heir) = (try await register(in: scope, store), try await register(in: scope, store))
    let leases = shardIDs.map { NewLease(shard: Shard(id: $0), checkpoint: .trimHorizon) }
    _ = try await store.createLeases(leases, in: scope)
    var plans = [shardIDs.map { Assignment.assign(shardID: $0, to: owner) }]
    if handOff { plans.append(shardIDs.map { .handOff(shardID: $0, to: heir) }) }
    for steps in plans {
      let outcome = try await store.plan(as: owner, in: scope, handoffTimeout: .seconds(600)) { _ in steps }
      try #require(outcome == .applied(steps, dead: []))
    }
    let grants = shardIDs.map { LeaseGrant(scope: scope, shardID: $0, owner: owner, epoch: Epoch(1)) }
    return (grants[0], grants[1])
  }

  private func register(in scope: LeaseScope, _ store: PostgresLeaseStore) async throws -> WorkerIncarnation {
    try await store.register(
      WorkerRegistration(
        scope: scope,
        workerID: "worker",
        host: "host",
        processID: 1,
        failoverInterval: .seconds(600)
      )
    )
  }
}
