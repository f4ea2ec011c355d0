import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing
import Tidemark
import TidemarkTestKit

@Suite("A worker that starts with a snapshot", .sharesMachine)
struct SnapshotStartTests {
  /// A stream whose snapshot is another stream.
  final class Source: StreamSource {
    let stream = InMemoryStream(name: "orders", pageWait: .milliseconds(50))
    let snapshot = InMemoryStream(name: "orders", pageWait: .milliseconds(50))
    private let failure: TidemarkError?
    private let isEndless: Bool
    private let calls = Mutex<[Bool]>([])

    /// Whether the application was new, for each call.
    var asked: [Bool] { calls.withLock { $0 } }

    init(failingOnceWith failure: TidemarkError? = nil, isEndless: Bool = false) {
      self.failure = failure
      self.isEndless = isEndless
    }

    func streamName() async throws -> String { try await stream.streamName() }
    func shards() async throws -> [Shard] { try await stream.shards() }
    func reader(of shardID: String, after checkpoint: Checkpoint) async throws -> any ShardReader {
      try await stream.reader(of: shardID, after: checkpoint)
    }

    func startingWithSnapshot(for application: String, isNew: Bool) async throws -> any StreamSource {
      let isFirst = calls.withLock { calls in
        calls.append(isNew)
        return calls.count == 1
      }
      if isFirst, let failure { throw failure }
      if isEndless { try await ContinuousClock().sleep(for: .seconds(3600)) }
      return isNew ? snapshot : stream
    }
  }

  private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private func run(
    _ source: any StreamSource,
    on store: InMemoryLeaseStore = InMemoryLeaseStore(),
    from position: InitialPosition = .snapshot,
    until condition: @escaping @Sendable (TestFleet.History) -> Bool = { _ in true }
  ) async throws -> [String] {
    var configuration = WorkerConfiguration()
    configuration.reading.initialPosition = position
    let history = TestFleet.History()
    let worker = try Worker(
      application: "app",
      stream: source,
      leases: store,
      configuration: configuration,
      logger: Self.logger,
      processor: { HistoryProcessor(worker: "a", history: history, context: $0) }
    )
    let group = ServiceGroup(services: [worker], logger: Self.logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      do {
        try await eventually("the worker has got there") { condition(history) }
      } catch {
        tasks.cancelAll()
        throw error
      }
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
    return history.entries.map(\.key)
  }

  @Test("a new application reads from its snapshot, and one that has leases is asked for as such")
  func positions() async throws {
    let source = Source()
    try source.snapshot.put([1], partitionKey: "existing")
    let store = InMemoryLeaseStore()
    #expect(try await run(source, on: store) { $0.entries.count == 1 } == ["existing"])
    #expect(try await run(source, on: store) { _ in source.asked.count == 2 } == [])
    #expect(source.asked == [true, false])
  }

  @Test("without that position no snapshot is asked for")
  func otherPosition() async throws {
    let source = Source()
    try source.stream.put([1], partitionKey: "change")
    #expect(try await run(source, from: .trimHorizon) { $0.entries.count == 1 } == ["change"])
    #expect(source.asked.isEmpty)
  }

  @Test("a worker waits out a failure that waiting can mend")
  func retry() async throws {
    let source = Source(failingOnceWith: TidemarkError(.sourceUnavailable, "Not yet."))
    _ = try await run(source) { _ in source.asked.count == 2 }
  }

  @Test("a worker that waits for its snapshot ends at once when it is asked to")
  func shutdown() async throws {
    let source = Source(isEndless: true)
    #expect(try await run(source) { _ in source.asked.count == 1 } == [])
  }

  @Test("a source without snapshots ends the worker with an error that says what to do")
  func unsupported() async throws {
    let error = try await #require(throws: TidemarkError.self) {
      let worker = try Worker(
        application: "app",
        stream: InMemoryStream(),
        leases: InMemoryLeaseStore(),
        configuration: {
          var configuration = WorkerConfiguration()
          configuration.reading.initialPosition = .snapshot
          return configuration
        }(),
        logger: Self.logger,
        processor: { _ in CheckpointingProcessor() }
      )
      try await worker.run()
    }
    #expect(error.code == .unsupported)
    #expect(error.advice?.contains("TRIM_HORIZON") == true)
  }
}
