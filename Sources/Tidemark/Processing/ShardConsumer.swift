/// What the consumer of one lease does next: a pure state machine. Events go in, actions come out; whoever holds
/// it performs them and feeds back what they led to.
///
/// At most one call to the processor or write to the lease store is under way at any time. Beside it at most one
/// read is, so that the next page arrives while the processor works on the present one; no more is prefetched.
struct ShardConsumer {
  enum Event {
    /// The owner's own doings.
    case started
    case handOffRequested
    /// The request lapsed; go on if it is not too late.
    case handOffWithdrawn
    case leaseLost
    /// The processor asks to be called when this moment has come, whatever it has asked before; `nil`: not any more.
    case wakeUpRequested(at: ContinuousClock.Instant?)
    /// Answers to actions.
    /// A reader is open; the position after which it starts is concrete where the source can tell.
    case opened(after: Checkpoint)
    case page(ShardPage, at: ContinuousClock.Instant)
    case readFailed(TidemarkError)
    case processorReturned
    case processorFailed(any Error, at: ContinuousClock.Instant)
    /// The call was not made, since the worker was not sure of its leases; see ``ProcessorCall/needsTrust``.
    case withheld
    /// What the store has as the checkpoint of this grant; `nil` if the grant is over.
    case position(Checkpoint?)
    /// What ``Action/sleep(_:id:)`` or ``Action/awaitTrust(id:)`` has waited for has come.
    case pauseEnded(id: Int)
    case wakeUpDue(id: Int)
    case written(WriteOutcome)
    /// A write was given up, which happens only when the worker itself is being torn down.
    case writeAbandoned
    /// The time of ``Action/watch(_:)`` is over. Whether there was a checkpoint in it, and whether the worker is sure of
    /// its leases.
    case watched(hasProgressed: Bool, isTrusted: Bool = true)
  }

  enum Action {
    case initialize
    case process(RecordBatch)
    case wakeProcessor
    case requestShutdown
    case handleShardEnd
    case notifyLeaseLost
    /// Cancels the call that the processor is in.
    case cancelProcessor
    /// What ``Checkpointer/checkpoint()`` stands for from now on.
    case setHandedOut(Checkpoint)
    case open(after: Checkpoint, pause: Duration)
    case read
    case findPosition
    case sleep(Duration, id: Int)
    /// Waits until the worker is sure of its leases.
    case awaitTrust(id: Int)
    /// Keeps the place that `LATEST` has turned out to be.
    case keepPlace(Checkpoint)
    /// Waits for this moment, which replaces any other.
    case awaitWakeUp(at: ContinuousClock.Instant, id: Int)
    case cancelWakeUp
    case deadLetter([DeadLetter], passing: Checkpoint)
    case endShard(children: [Shard])
    case transfer
    case stop(reason: String)
    /// Looks, after a while, whether the processor makes progress.
    case watch(Duration)
    /// The lease should be another worker's, although the processor does not let go of it.
    case giveAway
    case report(Report)
    case finish(Outcome)
  }

  /// What is worth telling; see ``WorkerEvents``.
  enum Report {
    case failed(any Error, attempt: Int, pause: Duration?)
    case readFailed(TidemarkError, pause: Duration)
    case trimmed(TidemarkError, after: Checkpoint)
    case lost(ShardPage.Loss)
    case deadLettered([DeadLetter])
    case stalled(ProcessorCall)
  }

  enum Outcome: Hashable {
    /// The leases of all children are there.
    case ended
    /// Whether they are, only a comparison with the source's shards can tell: the other parent of a merge may have
    /// no lease yet, or the source has named no children.
    case endedAmongUnknown
    case handedOff
    case stopped
    case lost
  }

  private enum Activity {
    case idle
    case initializing
    case processing(count: Int)
    case wakingUp
    case findingPosition(Failure)
    case pausing(id: Int)
    case keepingPlace
    case deadLettering([DeadLetter])
    case shuttingDown
    case handlingShardEnd
    case endingShard
    case transferring
    case stopping
    case losing
    case finished
  }

  private struct Failure {
    var error: any Error
    var count: Int
    var at: ContinuousClock.Instant
  }

  private enum WakeUp: Equatable {
    case none
    case awaited(id: Int)
    case due
  }

  private let policy: FailurePolicy
  private let stall: WorkerConfiguration.Stall
  private var random: SharedRandom

  private var activity = Activity.idle
  private var isInitialized = false
  private var isHandOffRequested = false
  /// The processor was asked to shut down, so there is no way back.
  private var isShutDown = false
  private var isLost = false

  private var reading: ReadAhead
  /// The last record that the processor has handled, as far as known here.
  private var handled: Checkpoint
  /// Records of the present page that are not handled yet.
  private var work: ArraySlice<Record> = []
  private var page: ReadAhead.Page?
  private var retries: RetryLedger
  private var callFailures = 0
  private var lastPauseID = 0
  private var wakeUp = WakeUp.none
  private var lastWakeUpID = 0
  /// Exhausted records that are given up once the processor was woken.
  private var exhaustedRecords: [DeadLetter] = []
  private var watch: StallWatch

  init(
    lease: Lease,
    policy: FailurePolicy,
    trimmedData: TrimmedDataPolicy,
    stall: WorkerConfiguration.Stall,
    random: SharedRandom
  ) {
    self.policy = policy
    self.stall = stall
    self.watch = StallWatch(timeout: stall.timeout)
    self.retries = RetryLedger(policy: policy)
    self.random = random
    self.handled = lease.checkpoint
    self.reading = ReadAhead(after: lease.checkpoint, trimmedData: trimmedData, random: random)
  }

  mutating func handle(_ event: Event) -> [Action] {
    if case .finished = activity { return [] }
    let actions = react(to: event)
    let callBegins = actions.contains { $0.isProcessorCall }
    guard callBegins, let tick = watch.callBegan() else { return actions }
    return actions + [.watch(tick)]
  }

  private mutating func react(to event: Event) -> [Action] {
    switch event {
    case .started:
      return settle()
    case .handOffRequested:
      isHandOffRequested = true
      return interrupt()
    case .handOffWithdrawn:
      if !isShutDown { isHandOffRequested = false }
      return settle()
    case .leaseLost:
      guard !isLost else { return [] }
      isLost = true
      return cancelProcessor() + interrupt()
    case .wakeUpRequested(let instant):
      return setWakeUp(at: instant)
    case .wakeUpDue(let id):
      guard wakeUp == .awaited(id: id) else { return [] }
      wakeUp = .due
      return settle()
    case .opened(let origin):
      reading.opened(after: origin)
      return settle() + readAhead()
    case .page(let page, let instant):
      return reading.received(page, at: instant) + settle() + readAhead()
    case .readFailed(let error):
      return isLost ? [] : reading.failed(error) + settle()
    case .processorReturned:
      return processorReturned()
    case .processorFailed(let error, let instant):
      return processorFailed(error, at: instant)
    case .withheld:
      return withheld()
    case .position(let position):
      return found(position)
    case .pauseEnded(let id):
      guard case .pausing(id) = activity else { return [] }
      activity = .idle
      return settle()
    case .written(let outcome):
      return written(outcome)
    case .writeAbandoned:
      return isWriting ? writeFailed() : []
    case .watched(let hasProgressed, let isTrusted):
      // Without trust a call waits for the store, and that is not the processor's fault.
      return watched(hasProgressed: hasProgressed || !isTrusted)
    }
  }

  // MARK: What comes next

  /// Decides what to do now that nothing is under way.
  private mutating func settle() -> [Action] {
    guard case .idle = activity else { return [] }
    if isLost { return lose() }
    if let place = reading.takePlace() {
      activity = .keepingPlace
      return [.keepPlace(place)]
    }
    if isHandOffRequested { return handOff() }
    if !isInitialized {
      activity = .initializing
      return [.initialize]
    }
    if work.isEmpty, page?.page.end == nil, let next = reading.takePage() {
      page = next
      work = next.page.records[...]
    }
    if work.isEmpty, page?.page.end != nil {
      activity = .handlingShardEnd
      return [.handleShardEnd]
    }
    // Before the next records, which may always be there.
    if wakeUp == .due { return wakeProcessor() + readAhead() }
    if !exhaustedRecords.isEmpty { return giveUpExhausted() }
    if !work.isEmpty { return process() + readAhead() }
    if let stopReason = reading.stopReason {
      activity = .stopping
      return [.stop(reason: stopReason)]
    }
    return readAhead()
  }

  private mutating func handOff() -> [Action] {
    guard isInitialized, !isShutDown else {
      activity = .transferring
      return [.transfer]
    }
    isShutDown = true
    activity = .shuttingDown
    return [.requestShutdown]
  }

  /// Ends a pause or a wait for records, so that what is asked for happens now.
  private mutating func interrupt() -> [Action] {
    if case .pausing = activity { activity = .idle }
    return settle()
  }

  private func cancelProcessor() -> [Action] {
    // Cleaning up after the lease is the one call that is not to be hurried.
    call == nil || call == .leaseLost ? [] : [.cancelProcessor]
  }

  private mutating func lose() -> [Action] {
    if isInitialized {
      activity = .losing
      return [.notifyLeaseLost]
    }
    return finish(.lost)
  }

  private mutating func finish(_ outcome: Outcome) -> [Action] {
    activity = .finished
    return [.finish(outcome)]
  }

  private mutating func pause(_ duration: Duration) -> Action { .sleep(duration, id: beginPause()) }

  private mutating func beginPause() -> Int {
    lastPauseID += 1
    activity = .pausing(id: lastPauseID)
    return lastPauseID
  }

  private mutating func readAhead() -> [Action] {
    isInitialized && !isLost && !isHandOffRequested ? reading.goOn() : []
  }

  private mutating func process() -> [Action] {
    let records = work.prefix(retries.batchLimit ?? work.count)
    guard let first = records.first, let last = records.last else { return [] }
    activity = .processing(count: records.count)
    let batch = RecordBatch(
      records: records,
      millisBehindLatest: page?.page.millisBehindLatest ?? 0,
      previousAttempts: retries.attempts(at: first.checkpoint)
    )
    return [.setHandedOut(last.checkpoint), .process(batch)]
  }

  // MARK: Calls without records

  private mutating func setWakeUp(at instant: ContinuousClock.Instant?) -> [Action] {
    guard let instant, !isLost else {
      wakeUp = .none
      return [.cancelWakeUp]
    }
    lastWakeUpID += 1
    wakeUp = .awaited(id: lastWakeUpID)
    return [.awaitWakeUp(at: instant, id: lastWakeUpID)]
  }

  private mutating func wakeProcessor() -> [Action] {
    wakeUp = .none
    activity = .wakingUp
    return [.wakeProcessor]
  }

  // MARK: Stalls

  /// The call that the processor is in.
  private var call: ProcessorCall? {
    switch activity {
    case .initializing: .initialize
    case .processing: .process
    case .wakingUp: .wokenUp
    case .shuttingDown: .shutdownRequested
    case .handlingShardEnd: .shardEnded
    case .losing: .leaseLost
    default: nil
    }
  }

  private mutating func watched(hasProgressed: Bool) -> [Action] {
    let call = call
    switch watch.ticked(isCalling: call != nil, hasProgressed: hasProgressed) {
    case .nothing: return []
    case .again(let tick): return [.watch(tick)]
    case .stalled:
      let report = call.map { [Action.report(.stalled($0))] } ?? []
      return report + (stall.givesLeaseAway ? [.giveAway] : [])
    }
  }

  // MARK: The processor's answers

  private mutating func processorReturned() -> [Action] {
    callFailures = 0
    switch activity {
    case .initializing:
      isInitialized = true
      activity = .idle
      return settle()
    case .processing(let count):
      drop(count)
      retries.succeeded(left: work.count)
      activity = .idle
      return settle()
    case .wakingUp:
      activity = .idle
      return settle()
    case .shuttingDown:
      activity = .idle
      return settle()
    case .handlingShardEnd:
      if isLost { return lose() }
      activity = .endingShard
      return [.endShard(children: page?.page.end?.children ?? [])]
    case .losing:
      return finish(.lost)
    default:
      return []
    }
  }

  private mutating func processorFailed(_ error: any Error, at instant: ContinuousClock.Instant) -> [Action] {
    switch activity {
    case .processing(let count):
      if isLost { return lose() }
      activity = .findingPosition(Failure(error: error, count: count, at: instant))
      return [.findPosition]
    case .initializing, .handlingShardEnd, .wakingUp:
      if case .wakingUp = activity { wakeUp = .due }
      activity = .idle
      if isLost || isHandOffRequested { return settle() }
      callFailures += 1
      let pause = policy.backoff.pause(afterAttempt: callFailures, using: &random)
      return [.report(.failed(error, attempt: callFailures, pause: pause)), self.pause(pause)]
    case .shuttingDown:
      // The handoff goes on: the next owner starts after the last checkpoint, so nothing is lost.
      return [.report(.failed(error, attempt: 1, pause: nil))] + processorReturned()
    default:
      return processorReturned()
    }
  }

  /// What was to be handed out is not, and what comes once there is trust again is decided then.
  private mutating func withheld() -> [Action] {
    switch activity {
    case .processing, .wakingUp:
      if case .wakingUp = activity, wakeUp == .none { wakeUp = .due }
      let takeBack = Action.setHandedOut(handled)
      activity = .idle
      if isLost || isHandOffRequested { return [takeBack] + settle() }
      return [takeBack, .awaitTrust(id: beginPause())]
    default:
      return []
    }
  }

  /// Goes on after a failure, now that it is known how far the processor got.
  private mutating func found(_ position: Checkpoint?) -> [Action] {
    guard case .findingPosition(let failure) = activity else { return [] }
    activity = .idle
    guard let position, !isLost else {
      isLost = true
      return lose()
    }
    let before = work.count
    let named = (failure.error as? RecordFailure)?.record.checkpoint
    drop(work.prefix { $0.checkpoint <= position }.count)
    if let named, let index = work.firstIndex(where: { $0.checkpoint == named }) {
      drop(index - work.startIndex)
    }
    let left = failure.count - (before - work.count)
    let actions = [Action.setHandedOut(handled)]
    guard left > 0, let head = work.first else {
      return actions + [.report(.failed(failure.error, attempt: 1, pause: nil))] + settle()
    }
    let count = named == head.checkpoint ? 1 : left
    let isExhausted = retries.failed(
      at: head.checkpoint,
      count: count,
      isNamed: named != nil,
      age: page?.age(of: head, at: failure.at)
    )
    return actions + (isExhausted ? exhausted(failure, count: count) : retry(failure))
  }

  private mutating func retry(_ failure: Failure) -> [Action] {
    let attempt = max(retries.attempts, 1)
    let pause = policy.backoff.pause(afterAttempt: attempt, using: &random)
    let report = Action.report(.failed(failure.error, attempt: attempt, pause: pause))
    if isHandOffRequested { return [report] + settle() }
    return [report, self.pause(pause)]
  }

  private mutating func exhausted(_ failure: Failure, count: Int) -> [Action] {
    let attempts = retries.attempts
    let report = Action.report(.failed(failure.error, attempt: attempts, pause: nil))
    let cause = (failure.error as? RecordFailure)?.underlying ?? failure.error
    switch policy.whenExhausted {
    case .stop:
      activity = .stopping
      let position = work.first?.checkpoint.description ?? ""
      return [report, .stop(reason: "record \(position) failed \(attempts) times: \(cause)")]
    case .deadLetter:
      let letters = work.prefix(count).map {
        DeadLetter(record: $0, attempts: attempts, reason: String(describing: cause))
      }
      exhaustedRecords = letters
      if wakeUp == .none { return [report] + giveUpExhausted() }
      // The checkpoint that passes them passes what the processor keeps of earlier batches, which it handles first.
      wakeUp = .due
      return [report] + settle()
    }
  }

  private mutating func giveUpExhausted() -> [Action] {
    let letters = exhaustedRecords
    exhaustedRecords = []
    guard let last = letters.last else { return settle() }
    activity = .deadLettering(letters)
    return [.deadLetter(letters, passing: last.record.checkpoint)]
  }

  private mutating func drop(_ count: Int) {
    if count > 0, let last = work.prefix(count).last {
      handled = last.checkpoint
      work = work.dropFirst(count)
    }
  }

  // MARK: The store's answers

  private var isWriting: Bool {
    switch activity {
    case .keepingPlace, .deadLettering, .endingShard, .transferring, .stopping: true
    default: false
    }
  }

  private mutating func writeFailed() -> [Action] {
    isLost = true
    return lose()
  }

  private mutating func written(_ outcome: WriteOutcome) -> [Action] {
    guard isWriting else { return [] }
    guard outcome == .accepted else { return writeFailed() }
    switch activity {
    case .keepingPlace:
      activity = .idle
      reading.placeKept()
      return settle() + readAhead()
    case .deadLettering(let letters):
      drop(letters.count)
      retries.gaveUp()
      activity = .idle
      return [.report(.deadLettered(letters)), .setHandedOut(handled)] + settle()
    case .endingShard:
      let children = page?.page.end?.children ?? []
      return finish(
        children.isEmpty || children.contains { $0.parentIDs.count > 1 } ? .endedAmongUnknown : .ended
      )
    case .transferring: return finish(.handedOff)
    case .stopping: return finish(.stopped)
    default: return []
    }
  }
}

extension ShardConsumer.Action {
  fileprivate var isProcessorCall: Bool {
    switch self {
    case .initialize, .process, .wakeProcessor, .requestShutdown, .handleShardEnd, .notifyLeaseLost: true
    default: false
    }
  }
}
