import Logging
import ServiceLifecycle
import Synchronization
import Tidemark
import TidemarkTestKit

/// Several workers of one process on one in-memory store and stream, and the history of what they did.
final class TestFleet: Sendable {
  /// A record that a processor has handled.
  struct Entry: Hashable {
    var worker: String
    var grant: LeaseGrant
    var key: String
    var sequenceNumber: SequenceNumber
  }

  final class History: WorkerEvents {
    private let handled = Mutex<[Entry]>([])
    private let ends = Mutex<[(grant: LeaseGrant, how: LeaseEnd)]>([])
    private let stalled = Mutex<[LeaseGrant]>([])
    private let lost = Mutex<[HistoryLoss]>([])
    private let counters = Mutex<(failures: Int, trimmed: Int, deaths: Int)>((0, 0, 0))

    var entries: [Entry] { handled.withLock { $0 } }
    var leaseEnds: [(grant: LeaseGrant, how: LeaseEnd)] { ends.withLock { $0 } }
    var stalls: [LeaseGrant] { stalled.withLock { $0 } }
    var losses: [HistoryLoss] { lost.withLock { $0 } }
    var failures: Int { counters.withLock { $0.failures } }
    var trimmed: Int { counters.withLock { $0.trimmed } }
    var deaths: Int { counters.withLock { $0.deaths } }

    func add(_ entry: Entry) { handled.withLock { $0.append(entry) } }

    func keys(of shardID: String) -> [String] {
      entries.filter { $0.grant.shardID == shardID }.map(\.key)
    }

    func leaseEnded(_ grant: LeaseGrant, how: LeaseEnd) { ends.withLock { $0.append((grant, how)) } }
    func processingFailed(_ grant: LeaseGrant, error: any Error, attempt: Int, nextAttempt: Duration?) {
      counters.withLock { $0.failures += 1 }
    }
    func recordsTrimmed(_ grant: LeaseGrant, after position: Checkpoint, error: TidemarkError) {
      counters.withLock { $0.trimmed += 1 }
    }
    func historyLost(_ loss: HistoryLoss) { lost.withLock { $0.append(loss) } }
    func processorStalled(_ grant: LeaseGrant, call: ProcessorCall, givesLeaseAway: Bool) {
      stalled.withLock { $0.append(grant) }
    }
    func workerDeclaredDead(_ incarnation: WorkerIncarnation) { counters.withLock { $0.deaths += 1 } }
  }

  let store = InMemoryLeaseStore()
  let stream: InMemoryStream
  let history = History()
  let scope: LeaseScope
  let configuration: WorkerConfiguration

  init(shards: Int, _ configure: (inout WorkerConfiguration) -> Void = { _ in }) {
    stream = InMemoryStream(name: OneStream.name, shardCount: shards, pageWait: .milliseconds(50))
    scope = LeaseScope(application: "app")
    var configuration = WorkerConfiguration()
    // Longer than a busy machine lets a heartbeat wait: only tests that want a death have one.
    configuration.failover.interval = .seconds(20)
    configuration.failover.heartbeatInterval = .milliseconds(60)
    configuration.failover.margin = .seconds(1)
    configuration.failover.lookInterval = .milliseconds(5)
    configuration.failurePolicy.backoff = Backoff(initial: .milliseconds(2), maximum: .milliseconds(20))
    configure(&configuration)
    self.configuration = configuration
  }

  /// For tests that wait for a failover interval to pass.
  static func fastFailover(_ configuration: inout WorkerConfiguration) {
    configuration.failover.interval = .milliseconds(600)
    configuration.failover.margin = .milliseconds(100)
  }

  /// One worker with a store connection of its own, so that faults can hit it alone.
  struct Member: Sendable {
    var name: String
    var store: InMemoryLeaseStore
    var group: ServiceGroup
  }

  func member(
    _ name: String,
    processor: Worker.ProcessorFactory? = nil
  ) throws -> Member {
    let store = InMemoryLeaseStore(sharing: store)
    var quiet = Logger(label: "test")
    quiet.logLevel = .critical
    let history = history
    let worker = try Worker(
      application: scope.application,
      stream: stream,
      leases: store,
      configuration: configuration,
      identity: WorkerIdentity(workerID: name, host: "here", processID: 1),
      events: history,
      logger: quiet,
      processor: processor ?? { shard in
        HistoryProcessor(worker: name, history: history, context: shard)
      }
    )
    return Member(
      name: name,
      store: store,
      group: ServiceGroup(configuration: .init(services: [.init(service: worker)], logger: quiet))
    )
  }

  /// Runs `body` while the members work, then shuts them down in good order.
  func run(_ members: [Member], _ body: @Sendable (TestFleet) async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for member in members { group.addTask { try await member.group.run() } }
      try await body(self)
      for member in members { await member.group.triggerGracefulShutdown() }
      try await group.waitForAll()
    }
  }

  func put(_ keys: some Sequence<Int>) throws {
    for key in keys { try stream.put([UInt8](String(key).utf8), partitionKey: String(key)) }
  }

  func leases() -> [Lease] { store.currentLeases(in: scope) }

  func incarnation(of name: String) -> WorkerIncarnation? {
    store.currentWorkers(in: scope).last { $0.registration.workerID == name && $0.state != .dead }?
      .incarnation
  }
}

/// Writes down what it handles and checkpoints after each batch.
struct HistoryProcessor: RecordProcessor {
  var worker: String
  var history: TestFleet.History
  var context: ShardContext

  mutating func process(_ batch: RecordBatch, checkpointer: Checkpointer) async throws {
    for record in batch {
      history.add(
        .init(
          worker: worker,
          grant: context.grant,
          key: record.partitionKey,
          sequenceNumber: record.sequenceNumber
        )
      )
    }
    try await checkpointer.checkpoint()
  }
}
