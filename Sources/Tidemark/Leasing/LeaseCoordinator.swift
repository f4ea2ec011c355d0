/// What one worker does about leases next: a pure state machine. Events go in, actions come out; ``Worker``
/// performs them.
///
/// Of each kind of call to the store at most one is under way. What a call answers is never trusted to be
/// complete or in order with anything else: leases are compared with the consumers that run, by epoch.
struct LeaseCoordinator {
  enum Timer: Hashable {
    case register, serve, heartbeat, look, plan, planAgain, shardSync, drainDeadline
  }

  enum Event {
    case started
    case registered(WorkerIncarnation, sentAt: ContinuousClock.Instant)
    case registrationFailed
    case heartbeatAnswered(HeartbeatReply?, sentAt: ContinuousClock.Instant)
    case heartbeatFailed
    case looked(LookReply)
    case lookFailed
    case hint
    case planned(PlanOutcome)
    case planFailed
    case refreshed([Lease])
    case refreshFailed
    /// These are the streams that the worker can read now.
    case streamsListed(Set<String>)
    case served
    case serveFailed
    case synced
    /// Some streams could not be listed.
    case syncedInPart
    case syncFailed
    case consumerFinished(LeaseGrant, ShardConsumer.Outcome)
    /// The processor hangs, and its lease is to be given away.
    case consumerStalled(LeaseGrant)
    case drainRequested
    case deregistered
    case fired(Timer)
  }

  enum Action {
    case register(streams: Set<String>)
    /// Says which streams this worker reads.
    case serve(WorkerIncarnation, ServedStreams.Statement)
    case heartbeat(WorkerIncarnation, WorkerRecord.State, refused: Set<LeaseKey>)
    case look(WorkerIncarnation)
    case plan(WorkerIncarnation)
    case refresh(WorkerIncarnation)
    case syncShards
    case deregister(WorkerIncarnation)
    /// Gives up a lease that nobody here consumes, or whose consumer hangs.
    case release(LeaseGrant)
    case startConsumer(Lease, LeaseGrant)
    case requestHandOff(LeaseGrant)
    case withdrawHandOff(LeaseGrant)
    case loseConsumer(LeaseGrant)
    case trust(until: ContinuousClock.Instant)
    case startTimer(Timer, Duration)
    case declaredDead(WorkerIncarnation)
    /// The store has lost what this worker had seen: to be compared with these epochs, and reported.
    case examineLoss(finished: [LeaseKey: Epoch], running: [LeaseKey: Epoch])
    /// Although it beat in time, the store refused a heartbeat: to be reported if it does not know the worker at all.
    case examineRegistration(WorkerIncarnation)
    case planApplied([Assignment], dead: [WorkerIncarnation])
    case finish
  }

  private enum Phase {
    case registering
    case running
    case draining
    case deregistering
    /// Declared dead while draining: nothing is left to do but to wait for the consumers.
    case ending
    case finished
  }

  private struct Consumer {
    var grant: LeaseGrant
    var isHandOffRequested = false
    var isLost = false
    var isStalled = false
    /// What was given up because this consumer hangs.
    var released: LeaseGrant?
  }

  /// After a loss versions are counted again from an earlier one, so a version alone may be an old acquaintance.
  private struct AssignmentVersion: Equatable {
    var history: Int64 = -1
    var version: Int64 = -1
  }

  private let scope: LeaseScope
  private let configuration: WorkerConfiguration
  private var random: SharedRandom

  private var phase = Phase.registering
  private var isDrainWanted = false
  private var incarnation: WorkerIncarnation?
  private var registrationAttempts = 0
  private var planAttempts = 0
  /// Whether somebody else was planning when this worker wanted to.
  private var isOtherPlanning = false
  private var liveWorkers = 1
  private var assignmentVersion = AssignmentVersion()
  private var memory = HistoryMemory()
  /// When the last heartbeat that was answered was sent.
  private var lastBeat: ContinuousClock.Instant?
  private var heartbeat = PendingCall()
  private var look = PendingCall()
  private var plan = PendingCall()
  private var refresh = PendingCall()
  private var shardSync = PendingCall()
  private var partialSyncs = 0
  private var streams: ServedStreams
  private var drain = Announcement()
  private var consumers: [LeaseKey: Consumer] = [:]
  /// The leases that no plan may give to this worker, as the last heartbeat says, and as the store knows.
  private var sentRefusals: Set<LeaseKey> = []
  private var knownRefusals: Set<LeaseKey> = []
  /// The last grant of each lease that a consumer is finished with: it must not be started again, even if an
  /// answer that was under way still shows it, or the store comes back without its end.
  private var finished: [LeaseKey: LeaseGrant] = [:]
  /// How many of these are remembered without need.
  private static let rememberedGrants = 10_000
  /// Those of which the answer that is under way cannot know yet.
  private var finishedDuringRefresh: Set<LeaseKey> = []

  init(
    scope: LeaseScope,
    streams: Set<String>,
    configuration: WorkerConfiguration,
    random: SharedRandom
  ) {
    self.scope = scope
    self.streams = ServedStreams(streams)
    self.configuration = configuration
    self.random = random
  }

  mutating func handle(_ event: Event) -> [Action] {
    if case .finished = phase { return [] }
    switch event {
    case .started: return register()
    case .registered(let incarnation, let sentAt): return registered(incarnation, sentAt: sentAt)
    case .registrationFailed: return registrationFailed()
    case .heartbeatAnswered(let reply, let sentAt): return heartbeatAnswered(reply, sentAt: sentAt)
    case .heartbeatFailed:
      let again = endHeartbeat()
      return again.isEmpty ? [.startTimer(.heartbeat, configuration.failover.heartbeatInterval / 4)] : again
    case .looked(let reply): return looked(reply)
    case .lookFailed: return endLook()
    case .hint: return wantLook()
    case .planned(let outcome): return planned(outcome)
    case .planFailed: return planAgainSoon()
    case .refreshed(let leases): return refreshed(leases)
    case .refreshFailed:
      // The version is forgotten, so that the next heartbeat or look asks for it again.
      assignmentVersion = AssignmentVersion()
      return endRefresh()
    case .streamsListed(let listed): return streams.list(listed) ? wantServe() : []
    case .served: return served()
    case .serveFailed:
      streams.abandon()
      return [.startTimer(.serve, jittered(.milliseconds(200)))]
    case .synced:
      partialSyncs = 0
      return wantPlan() + endSync(next: syncInterval)
    case .syncedInPart:
      partialSyncs += 1
      let backoff = Backoff(initial: .seconds(1), maximum: max(syncInterval, .seconds(1)))
      return wantPlan() + endSync(next: backoff.pause(afterAttempt: partialSyncs, using: &random))
    case .syncFailed: return endSync(next: jittered(.seconds(1)))
    case .consumerFinished(let grant, let outcome): return consumerFinished(grant, outcome)
    case .consumerStalled(let grant): return consumerStalled(grant)
    case .drainRequested: return drainRequested()
    case .deregistered: return finish()
    case .fired(let timer): return fired(timer)
    }
  }

  // MARK: Registration and heartbeats

  private mutating func register() -> [Action] { [.register(streams: streams.register())] }

  private mutating func registered(
    _ incarnation: WorkerIncarnation,
    sentAt: ContinuousClock.Instant
  ) -> [Action] {
    self.incarnation = incarnation
    registrationAttempts = 0
    assignmentVersion = AssignmentVersion()
    finished = [:]
    finishedDuringRefresh = []
    knownRefusals = []
    streams.registered()
    lastBeat = sentAt
    if isDrainWanted { return deregister() }
    phase = .running
    return [
      trust(from: sentAt),
      .startTimer(.heartbeat, configuration.failover.heartbeatInterval),
      lookLater(),
      .startTimer(.plan, jittered(configuration.planning.interval)),
    ] + sync() + (streams.isKnown ? [] : wantServe())
  }

  private mutating func registrationFailed() -> [Action] {
    if isDrainWanted { return finish() }
    registrationAttempts += 1
    let backoff = Backoff(initial: .milliseconds(100), maximum: .seconds(2))
    return [.startTimer(.register, backoff.pause(afterAttempt: registrationAttempts, using: &random))]
  }

  private func trust(from sentAt: ContinuousClock.Instant) -> Action {
    .trust(until: sentAt + configuration.failover.interval - configuration.failover.margin)
  }

  private mutating func wantHeartbeat() -> [Action] {
    incarnation != nil && heartbeat.want() ? beat() : []
  }

  private mutating func endHeartbeat() -> [Action] {
    heartbeat.end(isWantedStill: incarnation != nil) ? beat() : []
  }

  private mutating func beat() -> [Action] {
    guard let incarnation else { return [] }
    sentRefusals = Set(consumers.filter(\.value.isStalled).keys)
    return [.heartbeat(incarnation, isDraining ? .draining : .active, refused: sentRefusals)]
  }

  private mutating func heartbeatAnswered(
    _ reply: HeartbeatReply?,
    sentAt: ContinuousClock.Instant
  ) -> [Action] {
    guard let reply else {
      heartbeat.abandon()
      let interval = configuration.failover.interval
      let isInTime = lastBeat.map { sentAt < $0 + interval } ?? false
      let examination = isInTime ? incarnation.map { [Action.examineRegistration($0)] } : nil
      return (examination ?? []) + declaredDead()
    }
    lastBeat = sentAt
    liveWorkers = max(reply.liveWorkers, 1)
    let areRefusalsNew = !sentRefusals.isSubset(of: knownRefusals)
    knownRefusals = sentRefusals
    let again = endHeartbeat()
    var actions = [trust(from: sentAt)]
    if areRefusalsNew { actions += wantRefresh() }
    if streams.isLost(in: reply.streamsVersion) { actions += serveAgain() }
    actions += again.isEmpty ? [.startTimer(.heartbeat, configuration.failover.heartbeatInterval)] : again
    actions += noteVersion(reply.assignmentVersion, reply.history)
    if isDraining && again.isEmpty && !drain.isKnown {
      drain.isKnown = true
      actions += wantPlan()
    }
    return actions
  }

  private mutating func declaredDead() -> [Action] {
    guard let dead = incarnation else { return [] }
    incarnation = nil
    let actions: [Action] = [.declaredDead(dead)] + loseAll()
    if isDrainWanted {
      phase = .ending
      return actions + finishIfIdle()
    }
    phase = .registering
    streams.abandon()
    return actions + register()
  }

  // MARK: Looking and planning

  private func jittered(_ duration: Duration) -> Duration {
    var random = random
    return duration * Double.random(in: 0.8...1.2, using: &random)
  }

  private func lookLater() -> Action {
    .startTimer(.look, jittered(configuration.failover.lookInterval * liveWorkers))
  }

  private mutating func wantLook() -> [Action] {
    guard let incarnation, look.want() else { return [] }
    return [.look(incarnation)]
  }

  private mutating func endLook() -> [Action] {
    guard look.end(isWantedStill: incarnation != nil), let incarnation else { return [lookLater()] }
    return [.look(incarnation)]
  }

  private mutating func looked(_ reply: LookReply) -> [Action] {
    var actions = endLook()
    actions += noteVersion(reply.assignmentVersion, reply.history)
    if reply.needsPlan { return actions + wantPlan() }
    planAttempts = 0
    return actions
  }

  private mutating func wantPlan() -> [Action] {
    guard let incarnation, plan.want() else { return [] }
    return [.plan(incarnation)]
  }

  private mutating func endPlan() -> [Action] {
    guard plan.end(isWantedStill: incarnation != nil), let incarnation else { return [] }
    return [.plan(incarnation)]
  }

  private mutating func planned(_ outcome: PlanOutcome) -> [Action] {
    switch outcome {
    case .busy:
      return planAgainSoon(isOtherPlanning: true)
    case .dead:
      plan.abandon()
      return wantHeartbeat()
    case .applied(let assignments, let dead):
      planAttempts = 0
      var actions = endPlan()
      if actions.isEmpty {
        drain.notePlan()
        streams.notePlan()
      }
      if !assignments.isEmpty || !dead.isEmpty { actions.append(.planApplied(assignments, dead: dead)) }
      // A drain goes on from what the leases say now, even if no step was needed.
      if !assignments.isEmpty || isDraining || hasLetGo { actions += wantRefresh() }
      return actions
    }
  }

  private mutating func planAgainSoon(isOtherPlanning: Bool = false) -> [Action] {
    self.isOtherPlanning = isOtherPlanning
    plan.abandon()
    planAttempts += 1
    let backoff = Backoff(initial: .milliseconds(5), maximum: .seconds(1), jitter: 0.5)
    return [.startTimer(.planAgain, backoff.pause(afterAttempt: planAttempts, using: &random))]
  }

  /// The plan that somebody else was making has mostly seen to everything, and a look costs far less than a plan: a
  /// fleet of a hundred hears of a change at once, and one plan is enough. A worker with leases to give up needs a plan
  /// that knew of it.
  private mutating func planAgain() -> [Action] {
    let needsOwn = isDraining && drain.needsPlan || hasLetGo && streams.needsPlan
    return isOtherPlanning && !needsOwn ? wantLook() : wantPlan()
  }

  private var syncInterval: Duration {
    jittered(configuration.reading.shardSyncInterval * liveWorkers)
  }

  private mutating func sync() -> [Action] { shardSync.want() ? [.syncShards] : [] }

  private mutating func endSync(next: Duration) -> [Action] {
    shardSync.end(isWantedStill: incarnation != nil) ? [.syncShards] : [.startTimer(.shardSync, next)]
  }

  // MARK: Streams

  /// Whether a consumer still reads a stream that is not the worker's any more.
  private var hasLetGo: Bool { consumers.keys.contains { !streams.contains($0.stream) } }

  private mutating func wantServe() -> [Action] {
    guard let incarnation, let statement = streams.want() else { return [] }
    return [.serve(incarnation, statement)]
  }

  private mutating func serveAgain() -> [Action] {
    streams.forget()
    return wantServe()
  }

  private mutating func served() -> [Action] {
    guard let incarnation else {
      streams.abandon()
      return []
    }
    if let statement = streams.answered() { return [.serve(incarnation, statement)] }
    return streams.isKnown ? wantPlan() + wantRefresh() : []
  }

  // MARK: Leases

  private mutating func noteVersion(_ version: Int64, _ history: LeaseHistory) -> [Action] {
    let loss = memory.hasLost(seeing: version, on: history) ? [examineLoss()] : []
    // A lower one is news, too: of what was lost, or only an answer that was overtaken.
    let told = AssignmentVersion(history: history.number, version: version)
    guard told != assignmentVersion else { return loss }
    assignmentVersion = told
    return loss + wantRefresh()
  }

  private func examineLoss() -> Action {
    .examineLoss(finished: finished.mapValues(\.epoch), running: consumers.mapValues(\.grant.epoch))
  }

  private mutating func wantRefresh() -> [Action] {
    guard let incarnation, refresh.want() else { return [] }
    return [.refresh(incarnation)]
  }

  private mutating func endRefresh() -> [Action] {
    guard refresh.end(isWantedStill: incarnation != nil), let incarnation else { return [] }
    return [.refresh(incarnation)]
  }

  /// Compares the leases that this worker owns with the consumers that it runs.
  private mutating func refreshed(_ leases: [Lease]) -> [Action] {
    var actions = endRefresh()
    guard let incarnation else { return actions }
    var owned: Set<LeaseKey> = []
    // Each of these calls reads the leases after the one before it was answered, so no epoch can have fallen.
    let hasFallen = leases.contains {
      $0.owner == incarnation && $0.epoch < (lastEpoch(of: $0.key) ?? $0.epoch)
    }
    if hasFallen, memory.hasLostLeases() { actions.append(examineLoss()) }
    for lease in leases where lease.owner == incarnation {
      owned.insert(lease.key)
      actions += compare(
        lease,
        LeaseGrant(scope: scope, key: lease.key, owner: incarnation, epoch: lease.epoch)
      )
    }
    for key in consumers.keys.sorted() where !owned.contains(key) { actions += lose(key) }
    if finished.count > Self.rememberedGrants {
      finished = finished.filter { owned.contains($0.key) || finishedDuringRefresh.contains($0.key) }
    }
    finishedDuringRefresh = []
    return actions
  }

  /// The epoch of the last grant of a lease that this incarnation has had.
  private func lastEpoch(of key: LeaseKey) -> Epoch? {
    [consumers[key]?.grant.epoch, finished[key]?.epoch].compactMap { $0 }.max()
  }

  private mutating func compare(_ lease: Lease, _ grant: LeaseGrant) -> [Action] {
    guard let consumer = consumers[lease.key] else {
      if let last = finished[lease.key], last.epoch >= grant.epoch {
        // Either the answer is older than the end of the consumer, and this is refused; or the end never
        // reached the store, or was lost with what the store has lost, and without this the lease would rest here
        // for ever.
        return [.release(grant)]
      }
      guard streams.contains(lease.stream) else { return giveBack(grant) }
      consumers[lease.key] = Consumer(grant: grant)
      return [.startConsumer(lease, grant)] + handOffIfAsked(lease)
    }
    if consumer.isStalled { return giveAway(grant, past: consumer) }
    guard consumer.grant == grant else {
      // The shard went away and came back, or the store has lost the consumer's grant; the old consumer ends first,
      // then the lease is read again.
      return lose(lease.key)
    }
    return handOffIfAsked(lease)
  }

  /// Gives up a lease that nobody here can read. Not before the store knows that, or the next plan would give it again; if
  /// one does so nevertheless, the store may have lost it.
  private mutating func giveBack(_ grant: LeaseGrant) -> [Action] {
    guard streams.isKnown else { return [] }
    return streams.giveBack(grant.key) ? [.release(grant)] : serveAgain()
  }

  private mutating func handOffIfAsked(_ lease: Lease) -> [Action] {
    guard var consumer = consumers[lease.key], !consumer.isLost else { return [] }
    let isAsked =
      lease.handoffTo != nil || (isDraining && drain.isPlanned)
      || (!streams.contains(lease.stream) && streams.isPlanned)
    guard isAsked != consumer.isHandOffRequested else { return [] }
    consumer.isHandOffRequested = isAsked
    consumers[lease.key] = consumer
    return [isAsked ? .requestHandOff(consumer.grant) : .withdrawHandOff(consumer.grant)]
  }

  /// Gives up a lease whose shard a hanging consumer keeps this worker from reading: the consumer's own, or a later
  /// one. Not before the store knows that this worker refuses it, or the next plan would give it back.
  private mutating func giveAway(_ grant: LeaseGrant, past consumer: Consumer) -> [Action] {
    guard knownRefusals.contains(grant.key), consumer.released != grant else { return [] }
    consumers[grant.key]?.released = grant
    return [.release(grant)]
  }

  private mutating func consumerStalled(_ grant: LeaseGrant) -> [Action] {
    guard consumers[grant.key]?.grant == grant else { return [] }
    consumers[grant.key]?.isStalled = true
    return wantHeartbeat()
  }

  private mutating func lose(_ key: LeaseKey) -> [Action] {
    guard let consumer = consumers[key], !consumer.isLost else { return [] }
    consumers[key]?.isLost = true
    return [.loseConsumer(consumer.grant)]
  }

  private mutating func loseAll() -> [Action] {
    consumers.keys.sorted().flatMap { lose($0) }
  }

  private mutating func consumerFinished(_ grant: LeaseGrant, _ outcome: ShardConsumer.Outcome) -> [Action] {
    let consumer = consumers.removeValue(forKey: grant.key)
    finished[grant.key] = grant
    if refresh.isUnderWay { finishedDuringRefresh.insert(grant.key) }
    var actions: [Action] = []
    // The children can start now.
    if outcome == .ended || outcome == .endedAmongUnknown { actions += wantPlan() }
    if outcome == .endedAmongUnknown { actions += sync() }
    // The lease may be this worker's again, under another epoch: even one that was handed off, if that was seen
    // before this.
    if outcome == .lost || consumer?.isLost == true { actions += wantRefresh() }
    if consumer?.isStalled == true { actions += wantHeartbeat() }
    return actions + finishIfIdle()
  }

  // MARK: Shutdown

  private var isDraining: Bool {
    if case .draining = phase { true } else { false }
  }

  private mutating func drainRequested() -> [Action] {
    guard !isDrainWanted else { return [] }
    isDrainWanted = true
    guard case .running = phase else { return [] }
    phase = .draining
    return [.startTimer(.drainDeadline, configuration.handoff.drainTimeout)] + wantHeartbeat()
      + finishIfIdle()
  }

  private mutating func deregister() -> [Action] {
    guard let incarnation else { return finish() }
    phase = .deregistering
    self.incarnation = nil
    return [.deregister(incarnation)]
  }

  private mutating func finishIfIdle() -> [Action] {
    guard consumers.isEmpty else { return [] }
    switch phase {
    case .draining: return deregister()
    case .ending: return finish()
    case .registering, .running, .deregistering, .finished: return []
    }
  }

  /// Ends a drain that took too long. The leases are given up without the consumers that are not done yet: one
  /// may hang in its processor, or in a write to a store that does not answer.
  private mutating func endDrain() -> [Action] {
    switch phase {
    case .draining: loseAll() + deregister()
    case .ending: finish()
    case .registering, .running, .deregistering, .finished: []
    }
  }

  private mutating func finish() -> [Action] {
    phase = .finished
    return [.finish]
  }

  private mutating func fired(_ timer: Timer) -> [Action] {
    switch timer {
    case .register: return isDrainWanted ? finish() : register()
    case .serve: return streams.isKnown ? [] : wantServe()
    case .heartbeat: return wantHeartbeat()
    case .look: return wantLook()
    case .planAgain: return planAgain()
    case .plan: return wantPlan() + [.startTimer(.plan, jittered(configuration.planning.interval))]
    case .shardSync: return incarnation == nil ? [] : sync()
    case .drainDeadline: return endDrain()
    }
  }
}
