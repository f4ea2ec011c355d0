import BenchmarkSupport
import LibPQ
import Tidemark
import TidemarkPostgres
import TidemarkStreams

/// Registered workers and assigned leases, as they are in the database; nobody runs them.
struct LeaseFleet {
  let store: PostgresLeaseStore
  let scope: LeaseScope
  private let streams: Int
  private(set) var workers: [WorkerIncarnation] = []

  init(
    _ application: String = "benchmark",
    workers: Int,
    leases: Int,
    streams: Int = 1,
    in database: BenchmarkDatabase
  ) async throws {
    scope = LeaseScope(application: application)
    store = database.store
    self.streams = streams
    for number in 0..<workers { try await addWorker(number) }
    let new = (0..<leases).map { number in
      let key = Self.key(number, streams: streams)
      let place = Checkpoint.record(SequenceNumber(1_000_000_000_000))
      return NewLease(stream: key.stream, shard: Shard(id: key.shardID), checkpoint: place)
    }
    _ = try await store.createLeases(new, in: scope)
    _ = try await plan()
    try await database.pool.execute("VACUUM ANALYZE")
  }

  static func stream(_ number: Int) -> String { "stream-\(number)/2026-01-01T00:00:00.000" }

  /// Leases go to the streams in turn.
  static func key(_ number: Int, streams: Int) -> LeaseKey {
    LeaseKey(stream: stream(number % streams), shardID: shardID(number / streams))
  }

  private static func shardID(_ number: Int) -> String {
    let digits = String(number)
    return "shardId-" + String(repeating: "0", count: 12 - digits.count) + digits
  }

  @discardableResult
  mutating func addWorker(_ number: Int) async throws -> WorkerIncarnation {
    let incarnation = try await store.register(
      WorkerRegistration(
        scope: scope,
        streams: Set((0..<streams).map(Self.stream)),
        workerID: "worker-\(number)",
        host: "host-\(number)",
        processID: Int32(number),
        failoverInterval: .seconds(3600)
      )
    )
    workers.append(incarnation)
    return incarnation
  }

  /// One planning round of the first worker.
  func plan(in other: PostgresLeaseStore? = nil) async throws -> [Assignment] {
    let outcome = try await (other ?? store).plan(
      as: workers[0],
      in: scope,
      handoffTimeout: .seconds(600),
      decide: { AssignmentPlanner().plan($0) }
    )
    guard case .applied(let steps, _) = outcome else { return [] }
    return steps
  }

  /// So many looks of one worker.
  func look(_ times: Int) async throws {
    for _ in 0..<times { _ = try await store.look(as: workers[0], in: scope) }
  }

  func grants() async throws -> [LeaseGrant] {
    try await store.leases(in: scope).compactMap { lease in
      lease.owner.map { LeaseGrant(scope: scope, key: lease.key, owner: $0, epoch: lease.epoch) }
    }
  }

  /// A heartbeat of every worker, four at a time: a fleet's come spread over the interval.
  func beat(measuring grants: [LeaseGrant] = []) async throws {
    let owned = Dictionary(grouping: grants, by: \.owner)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for lane in 0..<4 {
        group.addTask {
          for worker in stride(from: lane, to: workers.count, by: 4).map({ workers[$0] }) {
            try await beat(worker, measuring: owned[worker] ?? [])
          }
        }
      }
      try await group.waitForAll()
    }
  }

  private func beat(_ worker: WorkerIncarnation, measuring grants: [LeaseGrant]) async throws {
    let measured = grants.map { grant in
      let load = Lease.Load(processing: .random(in: 0...1), bytesPerSecond: .random(in: 0...1e6))
      return (grant.key, Heartbeat.Measurement(load: load, millisBehindLatest: 0))
    }
    let beat = Heartbeat(
      incarnation: worker,
      scope: scope,
      state: .active,
      measurements: Dictionary(uniqueKeysWithValues: measured)
    )
    guard try await store.heartbeat(beat) != nil else { throw BenchmarkFailure("a worker is dead") }
  }
}
