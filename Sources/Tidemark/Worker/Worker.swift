import Logging
import ServiceLifecycle

/// Consumes a stream together with all other workers of the same application: each shard is read by exactly one
/// of them, in order, resuming where it stopped.
///
/// A worker is a `Service`: run it in a `ServiceGroup`, and a graceful shutdown hands its leases to the others,
/// each right behind its last checkpoint, before ``run()`` returns. Cancelling the task instead drops everything
/// at once, as a crash would.
public final class Worker: Service {
  /// Makes the processor of one shard.
  public typealias ProcessorFactory = @Sendable (ShardContext) -> sending any RecordProcessor

  private let application: String
  private let stream: any StreamSource
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
  ///   - leases: where the leases stand.
  ///   - events: is told what happens, after the log.
  ///   - random: the source of all jitter; a seeded one makes runs repeatable.
  /// - Throws: ``TidemarkError/Code/invalidConfiguration`` naming everything that is wrong.
  public init(
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
    self.stream = stream
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
  /// An unreachable database is waited for, at the start and at any time.
  ///
  /// - Throws: ``TidemarkError/Code/streamNotFound`` and other errors of the stream or of the lease store that
  ///   waiting cannot mend, such as a password that is refused.
  public func run() async throws {
    let retry = StoreRetry(clock: clock, random: random, logger: logger)
    guard let name = try await unlessShutDown({ try await self.findStream(retry) }) else { return }
    let scope = LeaseScope(application: application, stream: name)
    guard let source = try await unlessShutDown({ try await self.findSource(scope, retry) }) else { return }
    let shell = WorkerShell(
      scope: scope,
      coordinator: LeaseCoordinator(scope: scope, configuration: configuration, random: random),
      registration: WorkerRegistration(
        scope: scope,
        workerID: identity.workerID,
        host: identity.host,
        processID: identity.processID,
        failoverInterval: configuration.failover.interval,
        maximumLeases: configuration.planning.maximumLeases
      ),
      configuration: configuration,
      retry: retry,
      consumerEnvironment: environment(source: source, retry: retry)
    )
    try await withGracefulShutdownHandler {
      try await shell.run()
    } onGracefulShutdown: {
      shell.requestDrain()
    }
  }

  private func findStream(_ retry: StoreRetry) async throws -> String {
    try await retry.untilAnswered("find the stream") { try await self.stream.streamName() }
  }

  private func findSource(_ scope: LeaseScope, _ retry: StoreRetry) async throws -> any StreamSource {
    guard configuration.reading.initialPosition == .snapshot else { return stream }
    return try await retry.untilAnswered("start with a snapshot") {
      try await self.stream.startingWithSnapshot(
        for: self.application,
        isNew: try await self.leases.leases(in: scope).isEmpty
      )
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

  private func environment(
    source: any StreamSource,
    retry: StoreRetry
  ) -> ShardConsumerRunner.Environment {
    ShardConsumerRunner.Environment(
      source: source,
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
