import Logging
import Synchronization
import Waiting

/// Performs what ``LeaseCoordinator`` decides: one loop takes events, child tasks make the calls and post what
/// came of them.
final class WorkerShell: Sendable {
  enum Message {
    case event(LeaseCoordinator.Event)
    case fired(LeaseCoordinator.Timer, generation: Int)
    /// What the catalog says now.
    case listed([String: any StreamSource])
    /// A stream can be read as it begins with its snapshot; `nil` if it cannot.
    case prepared(String, (any StreamSource)?)
    /// Nothing that waiting could mend.
    case impossible(any Error)
  }

  let scope: LeaseScope
  let directory: StreamDirectory
  private let initialStreams: [String: any StreamSource]
  private let initialCoordinator: LeaseCoordinator
  let registration: WorkerRegistration
  let configuration: WorkerConfiguration
  let retry: StoreRetry
  let environment: ShardConsumerRunner.Environment
  private let messages: AsyncStream<Message>
  let inbox: AsyncStream<Message>.Continuation
  private let newConsumers: AsyncStream<ShardConsumerRunner>
  private let start: AsyncStream<ShardConsumerRunner>.Continuation
  let newStreams: AsyncStream<RunningStream>
  let startStream: AsyncStream<RunningStream>.Continuation
  /// The streams that no worker serves, as the last plan saw it.
  let unserved = Mutex<[String]>([])

  var store: any LeaseStore { environment.store }
  var clock: any MonotonicClock { environment.clock }
  var events: any WorkerEvents { environment.events }

  init(
    scope: LeaseScope,
    directory: StreamDirectory,
    streams: [String: any StreamSource],
    coordinator: LeaseCoordinator,
    registration: WorkerRegistration,
    configuration: WorkerConfiguration,
    retry: StoreRetry,
    consumerEnvironment: ShardConsumerRunner.Environment
  ) {
    self.scope = scope
    self.directory = directory
    self.initialStreams = streams
    self.initialCoordinator = coordinator
    self.registration = registration
    self.configuration = configuration
    self.retry = retry
    self.environment = consumerEnvironment
    (messages, inbox) = AsyncStream.makeStream()
    (newConsumers, start) = AsyncStream.makeStream()
    (newStreams, startStream) = AsyncStream.makeStream()
  }

  func requestDrain() {
    post(.drainRequested)
  }

  func post(_ event: LeaseCoordinator.Event) {
    inbox.yield(.event(event))
  }

  /// What the loop keeps between events.
  struct LoopState {
    var coordinator: LeaseCoordinator
    var consumers: [LeaseGrant: ShardConsumerRunner] = [:]
    var streams: [String: RunningStream] = [:]
    /// The names that the catalog has listed last, and those of them that are being made ready.
    var listed: Set<String> = []
    var preparing: Set<String> = []
    /// Starting a timer replaces the one of the same name.
    var generations: [LeaseCoordinator.Timer: Int] = [:]
    var lastMeasured: ContinuousClock.Instant
  }

  /// A stream that this worker reads, or whose last consumers have not ended.
  struct RunningStream {
    var source: any StreamSource
    /// Ends the source's own work.
    let end = OneShotSignal()
  }

  func run() async throws {
    try await withThrowingDiscardingTaskGroup { group in
      group.addTask { await self.environment.writer.run() }
      group.addTask { await self.runStreams() }
      group.addTask { await self.runConsumers() }
      var state = LoopState(coordinator: initialCoordinator, lastMeasured: clock.now)
      state.listed = Set(initialStreams.keys)
      for (name, source) in initialStreams.sorted(by: { $0.key < $1.key }) { add(name, source, &state) }
      post(.started)
      for await message in messages {
        let event: LeaseCoordinator.Event
        switch message {
        case .event(let posted): event = posted
        case .fired(let timer, let generation):
          guard state.generations[timer] == generation else { continue }
          event = .fired(timer)
        case .listed(let streams):
          event = listed(streams, &state, in: &group)
        case .prepared(let name, let source):
          event = prepared(name, source, &state)
        case .impossible(let error):
          throw error
        }
        if case .consumerFinished(let grant, _) = event {
          state.consumers[grant] = nil
          if !state.listed.contains(grant.stream) { endUnlistedStreams(&state) }
        }
        var isFinished = false
        for action in state.coordinator.handle(event) {
          if case .finish = action { isFinished = true }
          perform(action, state: &state, in: &group)
        }
        if isFinished { break }
      }
      group.cancelAll()
    }
  }

  /// Consumers have a group of their own: a group searches all its tasks for each that ends, so that a timer or a
  /// heartbeat among thousands of consumers would cost a walk over them.
  private func runConsumers() async {
    await withDiscardingTaskGroup { group in
      for await consumer in newConsumers {
        group.addTask { self.post(.consumerFinished(consumer.grant, await consumer.run())) }
      }
    }
  }

  private func perform(
    _ action: LeaseCoordinator.Action,
    state: inout LoopState,
    in group: inout ThrowingDiscardingTaskGroup<any Error>
  ) {
    switch action {
    case .startConsumer(let lease, let grant):
      // The coordinator starts none of a stream that was not listed, and those stay until none reads them.
      guard let source = state.streams[grant.stream]?.source else { return }
      let consumer = ShardConsumerRunner(lease: lease, grant: grant, source: source, environment: environment)
      {
        self.post(.consumerStalled(grant))
      }
      state.consumers[grant] = consumer
      start.yield(consumer)
    case .requestHandOff(let grant): state.consumers[grant]?.requestHandOff()
    case .withdrawHandOff(let grant): state.consumers[grant]?.withdrawHandOff()
    case .loseConsumer(let grant): state.consumers[grant]?.leaseWasLost()
    case .trust(let end): environment.trust.extend(to: end)
    case .startTimer(let timer, let duration):
      let generation = (state.generations[timer] ?? 0) + 1
      state.generations[timer] = generation
      group.addTask {
        guard (try? await self.clock.sleep(for: duration)) != nil else { return }
        self.inbox.yield(.fired(timer, generation: generation))
      }
    case .declaredDead(let incarnation): events.workerDeclaredDead(incarnation)
    case .planApplied(let assignments, let dead): events.planApplied(assignments, dead: dead)
    case .heartbeat(let incarnation, let workerState, let refused):
      let beat = Heartbeat(
        incarnation: incarnation,
        scope: scope,
        state: workerState,
        refused: refused,
        measurements: measurements(&state)
      )
      group.addTask { await self.heartbeat(beat) }
    case .refresh(let incarnation):
      let consumers = Array(state.consumers.values)
      group.addTask { await self.refresh(incarnation, consumers) }
    case .syncShards:
      let consumers = Array(state.consumers.values)
      let known = state.streams.filter { state.listed.contains($0.key) }.mapValues(\.source)
      group.addTask { await self.syncShards(known, consumers) }
    case .register(let streams): group.addTask { await self.register(serving: streams) }
    case .serve(let incarnation, let statement):
      group.addTask { await self.serve(statement, as: incarnation) }
    case .look(let incarnation): group.addTask { await self.look(as: incarnation) }
    case .plan(let incarnation): group.addTask { await self.plan(as: incarnation) }
    case .release(let grant): group.addTask { await self.release(grant) }
    case .examineLoss(let finished, let running):
      group.addTask { await self.examineLoss(finished, running) }
    case .examineRegistration(let incarnation):
      group.addTask { await self.examineRegistration(incarnation) }
    case .deregister(let incarnation): group.addTask { await self.deregister(incarnation) }
    // The loop's own.
    case .finish: break
    }
  }

  /// Loads are reported once in a planning interval, so that renewing costs what there are workers, not shards.
  private func measurements(_ state: inout LoopState) -> [LeaseKey: Heartbeat.Measurement] {
    let now = clock.now
    guard state.lastMeasured.duration(to: now) >= configuration.planning.interval else { return [:] }
    state.lastMeasured = now
    return Dictionary(
      state.consumers.compactMap { grant, consumer in
        consumer.meter.take(now: now).map { (grant.key, $0) }
      },
      uniquingKeysWith: { first, _ in first }
    )
  }
}
