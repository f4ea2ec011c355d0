import Logging
import ServiceLifecycle
import Waiting

/// Consumes streams together with all other workers of the same application: each shard is read by exactly one of
/// them, in order, resuming where it stopped.
///
/// An application may have any number of streams, of any kinds. A worker has one registration for all of them, and
/// leases are balanced over all of them. Workers of one application may read different streams: none is given a lease of
/// a stream that it does not read.
///
/// A worker is a `Service`: run it in a `ServiceGroup`, and a graceful shutdown hands its leases to the others,
/// each right after its last checkpoint, before ``run()`` returns. Cancelling the task instead drops everything
/// at once, as a crash would.
public final class Worker: Service {
  /// Makes the processor of one shard.
  public typealias ProcessorFactory = @Sendable (ShardContext) -> sending any RecordProcessor

  private let application: String
  private let directory: StreamDirectory
  private let leases: any LeaseStore
  private let configuration: WorkerConfiguration
  private let identity: WorkerIdentity
  private let events: any WorkerEvents
  private let clock: any MonotonicClock
  private let random: SharedRandom
  private let logger: Logger
  private let makeProcessor: ProcessorFactory

  /// - Parameters:
  ///   - application: the name under which leases and checkpoints are kept; all workers of one fleet share it.
  ///   - stream: what to read.
  ///   - leases: where the leases are kept.
  ///   - events: gets what happens, after the log.
  ///   - random: the source of all jitter; a seeded one makes runs repeatable.
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` naming everything that is wrong.
  public convenience init(
    application: String,
    stream: any StreamSource,
    leases: any LeaseStore,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    identity: WorkerIdentity = .current(),
    events: (any WorkerEvents)? = nil,
    clock: any MonotonicClock = ContinuousClock(),
    random: SharedRandom = SharedRandom(),
    logger: Logger = Logger(label: "tidemark"),
    processor: @escaping ProcessorFactory
  ) throws {
    try self.init(
      application: application,
      streams: [stream],
      leases: leases,
      configuration: configuration,
      identity: identity,
      events: events,
      clock: clock,
      random: random,
      logger: logger,
      processor: processor
    )
  }

  /// A worker that reads several streams, of any kinds.
  ///
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` naming everything that is wrong.
  public convenience init(
    application: String,
    streams: [any StreamSource],
    leases: any LeaseStore,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    identity: WorkerIdentity = .current(),
    events: (any WorkerEvents)? = nil,
    clock: any MonotonicClock = ContinuousClock(),
    random: SharedRandom = SharedRandom(),
    logger: Logger = Logger(label: "tidemark"),
    processor: @escaping ProcessorFactory
  ) throws {
    guard !streams.isEmpty else {
      throw TidemarkError(
        .invalidConfiguration,
        "The application \(application) has no streams.",
        advice: "Give at least one, or a catalog that may find some later."
      )
    }
    try self.init(
      application: application,
      catalog: FixedStreams(sources: streams),
      leases: leases,
      configuration: configuration,
      identity: identity,
      events: events,
      clock: clock,
      random: random,
      logger: logger,
      processor: processor
    )
  }

  /// A worker that reads the streams of a catalog, as they come and go.
  ///
  /// - Parameter catalog: is asked for the streams when the worker starts, and at each shard sync.
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` naming everything that is wrong.
  public init(
    application: String,
    catalog: any StreamCatalog,
    leases: any LeaseStore,
    configuration: WorkerConfiguration = WorkerConfiguration(),
    identity: WorkerIdentity = .current(),
    events: (any WorkerEvents)? = nil,
    clock: any MonotonicClock = ContinuousClock(),
    random: SharedRandom = SharedRandom(),
    logger: Logger = Logger(label: "tidemark"),
    processor: @escaping ProcessorFactory
  ) throws {
    try configuration.validate()
    guard !application.isEmpty else {
      throw TidemarkError(
        .invalidConfiguration,
        "The application has no name.",
        advice: "Name it; its leases are kept under it."
      )
    }
    var logger = logger
    logger[metadataKey: "application"] = "\(application)"
    logger[metadataKey: "worker"] = "\(identity.workerID)"
    self.application = application
    self.directory = StreamDirectory(catalog)
    self.leases = leases
    self.configuration = configuration
    self.identity = identity
    self.events = LoggingEvents(logger: logger, next: events)
    self.clock = clock
    self.random = random
    self.logger = logger
    self.makeProcessor = processor
  }

  /// Works until a graceful shutdown has handed everything off, or the task is cancelled.
  ///
  /// It waits for an unreachable database, at the start and at any time.
  ///
  /// - Throws: ``TidemarkError/Code/streamNotFound`` and other errors of the stream or of the lease store that
  ///   waiting cannot mend, such as a password that is refused.
  public func run() async throws {
    let retry = StoreRetry(clock: clock, random: random, logger: logger)
    let scope = LeaseScope(application: application)
    guard let streams = try await unlessShutDown({ try await self.findStreams(scope, retry) }) else { return }
    let shell = WorkerShell(
      scope: scope,
      directory: directory,
      streams: streams,
      coordinator: LeaseCoordinator(
        scope: scope,
        streams: Set(streams.keys),
        configuration: configuration,
        random: random
      ),
      registration: WorkerRegistration(
        scope: scope,
        streams: Set(streams.keys),
        workerID: identity.workerID,
        host: identity.host,
        processID: identity.processID,
        failoverInterval: configuration.failover.interval,
        maximumLeases: configuration.planning.maximumLeases
      ),
      configuration: configuration,
      retry: retry,
      consumerEnvironment: environment(retry: retry)
    )
    try await withGracefulShutdownHandler {
      try await shell.run()
    } onGracefulShutdown: {
      shell.requestDrain()
    }
  }

  private func findStreams(
    _ scope: LeaseScope,
    _ retry: StoreRetry
  ) async throws -> [String: any StreamSource] {
    let streams = try await retry.untilAnswered("find the streams") { try await self.directory.streams() }
    guard configuration.reading.initialPosition == .snapshot else { return streams }
    return try await withThrowingTaskGroup(of: (String, any StreamSource).self) { group in
      for (name, source) in streams.sorted(by: { $0.key < $1.key }) {
        group.addTask {
          let source = try await retry.untilAnswered("start with a snapshot") {
            let leases = try await self.leases.leases(in: scope)
            let isNew = !leases.contains { $0.stream == name }
            return try await source.startingWithSnapshot(for: self.application, isNew: isNew)
          }
          return (name, source)
        }
      }
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
  }

  /// What `body` returns; `nil` if the worker was asked to shut down before that.
  private func unlessShutDown<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value? {
    let shutdown = OneShotSignal()
    return try await withGracefulShutdownHandler {
      try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await body() }
        group.addTask {
          await shutdown.wait()
          try Task.checkCancellation()
          return nil
        }
        defer { group.cancelAll() }
        return try await group.next() ?? nil
      }
    } onGracefulShutdown: {
      shutdown.fire()
    }
  }

  private func environment(retry: StoreRetry) -> ShardConsumerRunner.Environment {
    ShardConsumerRunner.Environment(
      store: leases,
      writer: CheckpointWriter(store: leases, retry: retry),
      retry: retry,
      trust: TrustWindow(clock: clock),
      told: ToldHistory(),
      clock: clock,
      random: random,
      events: events,
      logger: logger,
      maximumRecords: configuration.reading.maximumRecords,
      failurePolicy: configuration.failurePolicy,
      trimmedData: configuration.reading.trimmedData,
      stall: configuration.stall,
      makeProcessor: makeProcessor
    )
  }
}
