import Logging
import Synchronization

/// Performs what ``LeaseCoordinator`` decides: one loop takes events, child tasks make the calls and post what
/// came of them.
final class WorkerShell: Sendable {
  private enum Message {
    case event(LeaseCoordinator.Event)
    case fired(LeaseCoordinator.Timer, generation: Int)
    /// What the catalog says now.
    case listed([String: any StreamSource])
    /// A stream can be read as it begins with its snapshot; `nil` if it cannot.
    case prepared(String, (any StreamSource)?)
    /// Nothing that waiting could mend.
    case impossible(any Error)
  }

  private let scope: LeaseScope
  private let directory: StreamDirectory
  private let initialStreams: [String: any StreamSource]
  private let initialCoordinator: LeaseCoordinator
  private let registration: WorkerRegistration
  private let configuration: WorkerConfiguration
  private let retry: StoreRetry
  private let environment: ShardConsumerRunner.Environment
  private let messages: AsyncStream<Message>
  private let inbox: AsyncStream<Message>.Continuation
  private let newConsumers: AsyncStream<ShardConsumerRunner>
  private let start: AsyncStream<ShardConsumerRunner>.Continuation
  private let newStreams: AsyncStream<RunningStream>
  private let startStream: AsyncStream<RunningStream>.Continuation
  /// The streams that no worker serves, as the last plan saw it.
  private let unserved = Mutex<[String]>([])

  private var store: any LeaseStore { environment.store }
  private var clock: any MonotonicClock { environment.clock }
  private var events: any WorkerEvents { environment.events }

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

  private func post(_ event: LeaseCoordinator.Event) {
    inbox.yield(.event(event))
  }

  /// What the loop keeps between events.
  private struct LoopState {
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

  /// A stream that this worker reads or has not ended to read.
  private struct RunningStream {
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

  // MARK: Streams

  private func add(_ name: String, _ source: any StreamSource, _ state: inout LoopState) {
    let stream = RunningStream(source: source)
    state.streams[name] = stream
    startStream.yield(stream)
  }

  private func listed(
    _ streams: [String: any StreamSource],
    _ state: inout LoopState,
    in group: inout ThrowingDiscardingTaskGroup<any Error>
  ) -> LeaseCoordinator.Event {
    state.listed = Set(streams.keys)
    for (name, source) in streams.sorted(by: { $0.key < $1.key }) where state.streams[name] == nil {
      if !startsWithSnapshot {
        add(name, source, &state)
      } else if state.preparing.insert(name).inserted {
        group.addTask { await self.prepare(name, source) }
      }
    }
    endUnlistedStreams(&state)
    return .streamsListed(state.listed.intersection(state.streams.keys))
  }

  private func prepared(
    _ name: String,
    _ source: (any StreamSource)?,
    _ state: inout LoopState
  ) -> LeaseCoordinator.Event {
    state.preparing.remove(name)
    if let source, state.listed.contains(name), state.streams[name] == nil {
      add(name, source, &state)
      post(.fired(.shardSync))
    }
    return .streamsListed(state.listed.intersection(state.streams.keys))
  }

  private func endUnlistedStreams(_ state: inout LoopState) {
    let unlisted = state.streams.keys.filter { !state.listed.contains($0) }.sorted()
    if unlisted.isEmpty { return }
    let read = Set(state.consumers.keys.map(\.stream))
    for name in unlisted where !read.contains(name) { state.streams.removeValue(forKey: name)?.end.fire() }
  }

  private var startsWithSnapshot: Bool { configuration.reading.initialPosition == .snapshot }

  private func prepare(_ name: String, _ source: any StreamSource) async {
    do {
      let source = try await retry.untilAnswered("start with a snapshot") {
        let leases = try await self.store.leases(in: self.scope)
        let isNew = !leases.contains { $0.stream == name }
        return try await source.startingWithSnapshot(for: self.scope.application, isNew: isNew)
      }
      inbox.yield(.prepared(name, source))
    } catch {
      if !(error is CancellationError) {
        environment.logger.error(
          "a stream cannot start with a snapshot, it is not read",
          metadata: ["stream": "\(name)", "error": "\(error)"]
        )
      }
      inbox.yield(.prepared(name, nil))
    }
  }

  /// These have a group of their own as consumers do.
  private func runStreams() async {
    await withDiscardingTaskGroup { group in
      for await stream in newStreams {
        group.addTask { await self.run(stream) }
      }
    }
  }

  private func run(_ stream: RunningStream) async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.runSource(stream.source) }
      await stream.end.wait()
      group.cancelAll()
    }
  }

  /// Keeps the source's own work going.
  private func runSource(_ source: any StreamSource) async {
    var attempt = 0
    var random = environment.random
    while !Task.isCancelled {
      do {
        return try await source.run()
      } catch {
        // Whatever a source throws when it is cancelled: that is no failure.
        if Task.isCancelled { return }
        attempt += 1
        environment.logger.warning("the stream's own work failed", metadata: ["error": "\(error)"])
        try? await clock.sleep(for: Backoff().pause(afterAttempt: attempt, using: &random))
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
    case .finish: break
    default:
      group.addTask { await self.call(action) }
    }
  }

  /// Loads are told once in a planning interval, so that renewing costs what there are workers, not shards.
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

  // MARK: Calls to the store

  private func call(_ action: LeaseCoordinator.Action) async {
    switch action {
    case .register(let streams): await register(serving: streams)
    case .serve(let incarnation, let streams, let version):
      await answer(.serveFailed) {
        try await self.store.serve(streams, version: version, as: incarnation, in: self.scope)
        return .served
      }
    case .look(let incarnation):
      await answer(.lookFailed) {
        let reply = try await self.store.look(as: incarnation, in: self.scope)
        self.environment.told.note(reply.history)
        return .looked(reply)
      }
    case .plan(let incarnation): await plan(as: incarnation)
    case .release(let grant):
      _ = try? await retry.untilAnswered("give up a lease") { try await self.store.transfer(grant) }
    case .examineLoss(let finished, let running): await examineLoss(finished, running)
    case .examineRegistration(let incarnation): await examineRegistration(incarnation)
    case .deregister(let incarnation): await deregister(incarnation)
    default: break
    }
  }

  private func answer(
    _ failure: LeaseCoordinator.Event,
    _ body: () async throws -> LeaseCoordinator.Event
  ) async {
    do {
      post(try await body())
    } catch {
      if !(error is CancellationError) {
        environment.logger.debug("a call to the lease store failed", metadata: ["error": "\(error)"])
      }
      post(failure)
    }
  }

  private func register(serving streams: Set<String>) async {
    let sentAt = clock.now
    var registration = registration
    registration.streams = streams
    do {
      let incarnation = try await store.register(registration)
      events.workerRegistered(incarnation)
      post(.registered(incarnation, sentAt: sentAt))
      await withDiscardingTaskGroup { group in
        group.addTask {
          for await blockage in self.store.blockages(for: incarnation, in: self.scope) {
            self.events.leaseBlocked(blockage)
          }
        }
        for await _ in store.hints(for: incarnation, in: scope) { post(.hint) }
        group.cancelAll()
      }
    } catch let error as TidemarkError where !error.isRetryable {
      inbox.yield(.impossible(error))
    } catch {
      if !(error is CancellationError) { events.heartbeatFailed(error) }
      post(.registrationFailed)
    }
  }

  private func examineLoss(_ finished: [LeaseKey: Epoch], _ running: [LeaseKey: Epoch]) async {
    let leases = try? await retry.untilAnswered("read the leases") {
      try await self.store.leases(in: self.scope)
    }
    guard let leases else { return }
    events.historyLost(HistoryLoss(of: finished, running: running, in: leases))
  }

  private func examineRegistration(_ incarnation: WorkerIncarnation) async {
    let workers = try? await retry.untilAnswered("read the workers") {
      try await self.store.workers(in: self.scope)
    }
    guard let workers, !workers.contains(where: { $0.incarnation == incarnation }) else { return }
    events.historyLost(HistoryLoss(registration: incarnation))
  }

  private func heartbeat(_ beat: Heartbeat) async {
    let sentAt = clock.now
    do {
      let reply = try await store.heartbeat(beat)
      if let reply { environment.told.note(reply.history) }
      post(.heartbeatAnswered(reply, sentAt: sentAt))
    } catch let error as TidemarkError where error.code == .schemaMismatch {
      // Somebody has migrated the store, or removed its schema, under this worker.
      inbox.yield(.impossible(error))
    } catch {
      if !(error is CancellationError) { events.heartbeatFailed(error) }
      post(.heartbeatFailed)
    }
  }

  private func plan(as incarnation: WorkerIncarnation) async {
    let planner = AssignmentPlanner(tolerance: configuration.planning.tolerance)
    await answer(.planFailed) {
      .planned(
        try await self.store.plan(
          as: incarnation,
          in: self.scope,
          handoffTimeout: self.configuration.handoff.timeout,
          decide: { snapshot in
            self.tellOfUnserved(snapshot.unservedStreams)
            return planner.plan(snapshot)
          }
        )
      )
    }
  }

  private func tellOfUnserved(_ streams: [String]) {
    let isNews = unserved.withLock { last in
      defer { last = streams }
      return last != streams
    }
    if isNews, !streams.isEmpty { events.streamsUnserved(streams) }
  }

  private func refresh(_ incarnation: WorkerIncarnation, _ consumers: [ShardConsumerRunner]) async {
    await answer(.refreshFailed) {
      .refreshed(
        try await self.comparing(consumers) {
          try await self.store.leases(ownedBy: incarnation, in: self.scope)
        }
      )
    }
  }

  /// - Parameter known: the streams that are read now.
  private func syncShards(_ known: [String: any StreamSource], _ consumers: [ShardConsumerRunner]) async {
    await answer(.syncFailed) {
      let (streams, isCurrent) = await self.listStreams(known)
      let shards = await self.listShards(of: streams)
      guard !shards.isEmpty || streams.isEmpty else { return .syncFailed }
      try await self.createAndDelete(
        shards,
        try await self.comparing(consumers) { try await self.store.leases(in: self.scope) }
      )
      return isCurrent && shards.count == streams.count ? .synced : .syncedInPart
    }
  }

  /// The streams to sync; those that are read already if the catalog does not answer.
  private func listStreams(
    _ known: [String: any StreamSource]
  ) async -> (streams: [String: any StreamSource], isCurrent: Bool) {
    do {
      let listed = try await directory.streams()
      inbox.yield(.listed(listed))
      let streams = listed.merging(known) { $1 }
      return (streams.filter { listed[$0.key] != nil && (known[$0.key] != nil || !startsWithSnapshot) }, true)
    } catch {
      if !(error is CancellationError) {
        environment.logger.warning("could not list the streams", metadata: ["error": "\(error)"])
      }
      return (known, false)
    }
  }

  /// Reads leases, and ends the consumers whose lease is behind what they had committed before: the store has lost
  /// that, and a consumer that has nothing to write would never be refused.
  private func comparing(
    _ consumers: [ShardConsumerRunner],
    _ read: () async throws -> [Lease]
  ) async throws -> [Lease] {
    let committed = consumers.map(\.committed)
    let leases = try await read()
    guard !consumers.isEmpty else { return leases }
    let byKey = Dictionary(leases.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
    for (consumer, committed) in zip(consumers, committed) {
      guard let lease = byKey[consumer.grant.key] else { continue }
      consumer.compare(with: lease, readAfter: committed)
    }
    return leases
  }

  private func createAndDelete(_ shards: [String: [Shard]], _ leases: [Lease]) async throws {
    let changes = ShardSync.changes(
      shards: shards,
      leases: leases,
      position: configuration.reading.initialPosition
    )
    if !changes.missing.isEmpty { _ = try await store.createLeases(changes.missing, in: scope) }
    if !changes.deletable.isEmpty { try await store.deleteEndedLeases(changes.deletable, in: scope) }
  }

  /// How many streams are listed at once.
  private static let listings = 8

  /// The shards of those streams that could be listed.
  private func listShards(of streams: [String: any StreamSource]) async -> [String: [Shard]] {
    await withTaskGroup(of: (String, [Shard]?).self) { group in
      var waiting = streams.sorted { $0.key < $1.key }.makeIterator()
      var shards: [String: [Shard]] = [:]
      for _ in 0..<Self.listings {
        if let next = waiting.next() { group.addTask { await self.listShards(of: next.key, next.value) } }
      }
      for await (stream, listed) in group {
        shards[stream] = listed
        if let next = waiting.next() { group.addTask { await self.listShards(of: next.key, next.value) } }
      }
      return shards
    }
  }

  /// A worker that may not list has nothing to do, and should not be silent about it.
  private func listShards(of stream: String, _ source: any StreamSource) async -> (String, [Shard]?) {
    do {
      return (stream, try await source.shards())
    } catch {
      if !(error is CancellationError) {
        environment.logger.warning(
          "could not list the shards",
          metadata: ["stream": "\(stream)", "error": "\(error)"]
        )
      }
      return (stream, nil)
    }
  }

  /// A few tries, for a failover interval at most: if the store is away, or a hanging processor's transaction holds
  /// a lease, the end of the session or of the heartbeats says the same by then.
  private func deregister(_ incarnation: WorkerIncarnation) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.tryToDeregister(incarnation) }
      group.addTask { try? await self.clock.sleep(for: self.configuration.failover.interval) }
      await group.next()
      group.cancelAll()
    }
    post(.deregistered)
  }

  private func tryToDeregister(_ incarnation: WorkerIncarnation) async {
    for _ in 1...3 {
      do {
        return try await store.deregister(incarnation, in: scope)
      } catch {
        environment.logger.warning("could not deregister", metadata: ["error": "\(error)"])
        guard (try? await clock.sleep(for: .milliseconds(200))) != nil else { return }
      }
    }
  }
}
