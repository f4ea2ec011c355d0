import Logging
import Synchronization
import Waiting

/// Performs what ``ShardConsumer`` decides, for one lease: reads, calls the processor, writes to the store.
final class ShardConsumerRunner: Sendable {
  /// What a worker's consumers share.
  struct Environment: Sendable {
    var store: any LeaseStore
    var writer: CheckpointWriter
    var retry: StoreRetry
    var trust: TrustWindow
    var told: ToldHistory
    var clock: any MonotonicClock
    var random: SharedRandom
    var events: any WorkerEvents
    var logger: Logger
    var maximumRecords: Int
    var failurePolicy: FailurePolicy
    var trimmedData: TrimmedDataPolicy
    var stall: WorkerConfiguration.Stall
    var makeProcessor: @Sendable (ShardContext) -> sending any RecordProcessor
  }

  typealias Event = ShardConsumer.Event

  let grant: LeaseGrant
  let meter: LoadMeter
  private let lease: Lease
  private let source: any StreamSource
  private let environment: Environment
  /// Asks the worker to give the lease away while the processor hangs.
  private let giveAway: @Sendable () -> Void
  private let host: ProcessorHost
  private let checkpointer: Checkpointer
  private let incoming: AsyncStream<Event>
  private let send: AsyncStream<Event>.Continuation
  /// The history that was known before the last call to the source: after an end there is no other.
  private let historyOfRead = Mutex<Int64>(0)
  private let wakeUpTimer = WakeUpTimer()
  private let context: ShardContext

  init(
    lease: Lease,
    grant: LeaseGrant,
    source: any StreamSource,
    environment: Environment,
    giveAway: @escaping @Sendable () -> Void
  ) {
    self.giveAway = giveAway
    self.lease = lease
    self.grant = grant
    self.source = source
    self.environment = environment
    self.meter = LoadMeter(now: environment.clock.now, continuing: lease.load)
    let (incoming, send) = AsyncStream<Event>.makeStream()
    (self.incoming, self.send) = (incoming, send)
    let setWakeUp: WakeUpRequest = { [clock = environment.clock] time in
      send.yield(.wakeUpRequested(at: time.map { clock.now.advanced(by: $0) }))
    }
    self.checkpointer = Checkpointer(
      grant: grant,
      committed: lease.checkpoint,
      sink: environment.writer,
      lost: { send.yield(.leaseLost) },
      setWakeUp: setWakeUp
    )
    self.context = ShardContext(
      grant: grant,
      checkpoint: lease.checkpoint,
      pendingCheckpoint: lease.pendingCheckpoint,
      setWakeUp: setWakeUp
    )
    self.host = ProcessorHost(environment.makeProcessor(context))
  }

  func requestHandOff() { send.yield(.handOffRequested) }
  func withdrawHandOff() { send.yield(.handOffWithdrawn) }
  func leaseWasLost() { send.yield(.leaseLost) }

  /// The last checkpoint that the store has accepted from here.
  var committed: Checkpoint { checkpointer.committed }

  /// Notes a lease that was read once this much was committed: one that is behind has lost it.
  func compare(with lease: Lease, readAfter committed: Checkpoint) {
    if holds(lease), lease.checkpoint < committed { leaseWasLost() }
  }

  /// Runs until the lease is given up or lost.
  func run() async -> ShardConsumer.Outcome {
    environment.events.leaseStarted(context)
    let outcome = await withDiscardingTaskGroup { group in
      var machine = ShardConsumer(
        lease: lease,
        policy: environment.failurePolicy,
        trimmedData: environment.trimmedData,
        stall: environment.stall,
        random: environment.random
      )
      let reader = ReaderSlot()
      var outcome = ShardConsumer.Outcome.lost
      send.yield(.started)
      events: for await event in incoming {
        for action in machine.handle(event) {
          if case .finish(let result) = action {
            outcome = result
            break events
          }
          if let call = perform(action, reader) { group.addTask { await call() } }
        }
      }
      group.cancelAll()
      return outcome
    }
    if outcome == .lost { await reportLostCheckpoint() }
    environment.events.leaseEnded(grant, how: outcome.leaseEnd)
    return outcome
  }

  /// Nobody else notices if the store has lost no more than what this consumer has written.
  private func reportLostCheckpoint() async {
    let found = try? await environment.store.lease(grant.key, in: grant.scope)
    guard let lease = found ?? nil, holds(lease), lease.checkpoint < checkpointer.committed else { return }
    let lost = HistoryLoss.LostCheckpoint(
      key: grant.key,
      committed: checkpointer.committed,
      checkpointNow: lease.checkpoint
    )
    environment.events.historyLost(HistoryLoss(checkpoints: [lost]))
  }

  private func holds(_ lease: Lease) -> Bool { lease.owner == grant.owner && lease.epoch == grant.epoch }

  /// Does what takes no time, in order, and returns what does, which answers with an event.
  private func perform(_ action: ShardConsumer.Action, _ reader: ReaderSlot) -> (@Sendable () async -> Void)?
  {
    switch action {
    case .report(let report): self.report(report)
    case .setHandedOut(let checkpoint): checkpointer.noteHandedOut(checkpoint)
    case .cancelProcessor: host.cancelCall()
    case .giveAway: giveAway()
    case .cancelWakeUp: wakeUpTimer.cancel()
    case .finish: break
    case .awaitWakeUp(let instant, let id):
      let ended = wakeUpTimer.next()
      return { await self.awaitWakeUp(at: instant, id, unless: ended) }
    case .initialize:
      return { [context] in
        await self.call(.initialize) { processor, _ in try await processor.initialize(context) }
      }
    case .process(let batch): return { await self.process(batch) }
    case .wakeProcessor: return { await self.wakeProcessor() }
    case .requestShutdown:
      return { await self.call(.shutdownRequested) { try await $0.shutdownRequested(checkpointer: $1) } }
    case .handleShardEnd:
      return { await self.call(.shardEnded) { try await $0.shardEnded(checkpointer: $1) } }
    case .notifyLeaseLost:
      return { await self.call(.leaseLost) { processor, _ in await processor.leaseLost() } }
    case .open(let position, let pause):
      return { await self.open(after: position, pause: pause, reader: reader) }
    case .read: return { await self.read(reader: reader) }
    case .findPosition: return { await self.findPosition() }
    case .sleep(let duration, let id):
      return {
        try? await self.environment.clock.sleep(for: duration)
        self.send.yield(.pauseEnded(id: id))
      }
    case .awaitTrust(let id):
      return {
        try? await self.environment.trust.waitUntilOpen()
        self.send.yield(.pauseEnded(id: id))
      }
    case .keepPlace(let place): return { await self.keepPlace(place) }
    case .deadLetter(let letters, let checkpoint):
      return { await self.deadLetter(letters, passing: checkpoint) }
    case .endShard(let children): return { await self.endShard(children) }
    case .transfer: return { await self.write("transfer a lease") { try await $0.transfer($1) } }
    case .stop(let reason):
      return { await self.write("stop a lease") { try await $0.stop($1, reason: reason) } }
    case .watch(let duration): return { await self.watch(for: duration) }
    }
    return nil
  }

  // MARK: The processor

  private struct Withheld: Error {}

  /// - Parameter ended: is called once the processor was called, with the time that it took.
  private func call(
    _ call: ProcessorCall,
    _ body: @escaping @Sendable (inout any RecordProcessor, Checkpointer) async throws -> Void,
    then ended: (Duration, _ error: (any Error)?) -> Void = { _, _ in }
  ) async {
    let started = environment.clock.now
    let error = await host.call { [checkpointer, trust = environment.trust] in
      if call.needsTrust, !trust.isOpen { throw Withheld() }
      try await body(&$0, checkpointer)
    }
    if error is Withheld {
      send.yield(.withheld)
      return
    }
    ended(started.duration(to: environment.clock.now), error)
    checkpointer.noteCallEnded(failed: error != nil)
    if let error {
      send.yield(.processorFailed(error, at: environment.clock.now))
    } else {
      send.yield(.processorReturned)
    }
  }

  private func process(_ batch: RecordBatch) async {
    await call(.process) {
      try await $0.process(batch, checkpointer: $1)
    } then: { busy, error in
      let bytes = batch.reduce(0) { $0 + $1.sizeInBytes }
      meter.add(busy: busy, bytes: bytes, millisBehindLatest: batch.millisBehindLatest)
      if error != nil { return }
      environment.events.batchProcessed(
        grant,
        records: batch.count,
        bytes: bytes,
        duration: busy,
        millisBehindLatest: batch.millisBehindLatest
      )
    }
  }

  private func wakeProcessor() async {
    await call(.wokenUp) {
      try await $0.wokenUp(checkpointer: $1)
    } then: { busy, _ in
      meter.add(busy: busy)
    }
  }

  private func awaitWakeUp(
    at instant: ContinuousClock.Instant,
    _ id: Int,
    unless ended: OneShotSignal
  ) async {
    if await wakeUpTimer.wait(until: instant, on: environment.clock, unless: ended) {
      send.yield(.wakeUpDue(id: id))
    }
  }

  private func watch(for duration: Duration) async {
    let before = checkpointer.committed
    guard (try? await environment.clock.sleep(for: duration)) != nil else { return }
    send.yield(
      .watched(hasProgressed: checkpointer.committed != before, isTrusted: environment.trust.isOpen)
    )
  }

  // MARK: The source

  private func open(after position: Checkpoint, pause: Duration, reader: ReaderSlot) async {
    await reading(pause: pause) {
      let opened = try await self.source.reader(of: self.grant.shardID, after: position)
      reader.set(opened)
      return .opened(after: opened.origin)
    }
  }

  private func read(reader: ReaderSlot) async {
    await reading {
      let reader = try reader.get()
      try await reader.waitForNews()
      let page = try await reader.nextPage(maximumRecords: self.environment.maximumRecords)
      return .page(page, at: self.environment.clock.now)
    }
  }

  private func reading(pause: Duration = .zero, _ body: () async throws -> Event) async {
    do {
      if pause > .zero { try await environment.clock.sleep(for: pause) }
      historyOfRead.withLock { $0 = environment.told.number }
      send.yield(try await body())
    } catch is CancellationError {
      return
    } catch let error as TidemarkError {
      send.yield(.readFailed(error))
    } catch {
      send.yield(.readFailed(TidemarkError(.sourceUnavailable, "Reading failed.", underlying: error)))
    }
  }

  // MARK: The store

  private func findPosition() async {
    let found = try? await environment.retry.untilAnswered("read a lease") {
      try await self.environment.store.lease(self.grant.key, in: self.grant.scope)
    }
    // One at an earlier place than was committed has come back without that: the processor's effects there are lost, too.
    guard let lease = found ?? nil, holds(lease), lease.checkpoint >= checkpointer.committed else {
      send.yield(.position(nil))
      return
    }
    checkpointer.noteCommitted(lease.checkpoint)
    send.yield(.position(lease.checkpoint))
  }

  /// Together with those of other shards, since many start at the same time.
  private func keepPlace(_ place: Checkpoint) async {
    let write = CheckpointWrite(grant: grant, checkpoint: place, from: checkpointer.committed)
    await self.write("keep the place of LATEST", of: place) { [writer = environment.writer] _, _ in
      do {
        try await writer.write(write)
        return .accepted
      } catch let error as TidemarkError where error.code == .leaseLost {
        return .leaseLost
      }
    }
  }

  private func deadLetter(_ letters: [DeadLetter], passing checkpoint: Checkpoint) async {
    let write = CheckpointWrite(grant: grant, checkpoint: checkpoint, from: checkpointer.committed)
    await self.write("write dead letters", of: checkpoint) { store, _ in
      try await store.deadLetter(letters, passing: write)
    }
  }

  private func endShard(_ children: [Shard]) async {
    let ending = ShardEnding(from: checkpointer.committed, history: historyOfRead.withLock { $0 })
    await write("end a shard") { try await $0.endShard($1, children: children, restingOn: ending) }
  }

  private func write(
    _ what: String,
    of checkpoint: Checkpoint? = nil,
    _ body: @escaping @Sendable (any LeaseStore, LeaseGrant) async throws -> WriteOutcome
  ) async {
    do {
      let outcome = try await environment.retry.untilAnswered(what) { [environment, grant] in
        try await body(environment.store, grant)
      }
      if outcome == .accepted, let checkpoint { checkpointer.noteCommitted(checkpoint) }
      send.yield(.written(outcome))
    } catch {
      if !(error is CancellationError) {
        environment.logger.error(
          "could not \(what)",
          metadata: ["stream": "\(grant.stream)", "shard": "\(grant.shardID)", "error": "\(error)"]
        )
      }
      send.yield(.writeAbandoned)
    }
  }

  private func report(_ report: ShardConsumer.Report) {
    let events = environment.events
    switch report {
    case .failed(let error, let attempt, let pause):
      events.processingFailed(grant, error: error, attempt: attempt, nextAttempt: pause)
    case .readFailed(let error, let pause): events.readingFailed(grant, error: error, nextAttempt: pause)
    case .trimmed(let error, let position): events.recordsTrimmed(grant, after: position, error: error)
    case .lost(let loss): events.recordsLost(grant, loss)
    case .deadLettered(let letters): events.recordsDeadLettered(grant, letters)
    case .stalled(let call):
      events.processorStalled(grant, call: call, givesLeaseAway: environment.stall.givesLeaseAway)
    }
  }
}

extension ShardConsumer.Outcome {
  fileprivate var leaseEnd: LeaseEnd {
    switch self {
    case .ended, .endedAmongUnknown: .shardEnded
    case .handedOff: .handedOff
    case .stopped: .stopped
    case .lost: .lost
    }
  }
}
