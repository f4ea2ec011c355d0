import Tidemark
import TidemarkTestKit

/// One simulated run: a fleet of production workers, a lease store, streams, the faults of a scenario, and the
/// checkers that look on.
final class World: @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  static let scope = LeaseScope(application: "application")

  let scenario: Scenario
  let scheduler: SimulatedScheduler
  /// The lease store's server.
  let server: SimulatedProcess
  let serverClock: SimulatedClock
  let store: InMemoryLeaseStore
  let streams: [SimulatedStream]
  let truth = StreamTruth()
  let faults: Faults
  var random: SeededRandom
  var history = History()
  private var checkers: [any Checker]

  private(set) var members: [Member] = []
  /// Those that have ended; a late message of theirs may still be on its way.
  private var retired: [Member] = []
  private(set) var marks: [Mark: Int] = [:]
  /// What went wrong, first.
  private(set) var violation: String?

  /// The lease table after the last call that was done.
  var leases: [LeaseKey: Lease] = [:]
  private var dead: Set<WorkerIncarnation> = []
  var deregistered: Set<WorkerIncarnation> = []
  /// How often the store has started again.
  var storeStarts = 0
  var lastStart: Duration?
  /// What a standby that lags may have, oldest first.
  var standbys: [Standby] = []
  var sessions = ServerSessions()
  var isStoreUp = true
  /// Records that no processor can handle.
  var poison: Set<Int> = []
  private var memberCount = 0

  init(_ scenario: Scenario, isTraced: Bool = false) {
    self.scenario = scenario
    var seeds = SeededRandom(seed: scenario.seed ^ 0x7469_6465_6d61_726b)
    scheduler = SimulatedScheduler(seed: seeds.next())
    server = SimulatedProcess("server", on: scheduler)
    serverClock = SimulatedClock(scheduler)
    store = InMemoryLeaseStore(clock: serverClock, timeOfDay: SimulatedClock(scheduler))
    let scheduler = scheduler
    streams = (1...scenario.streamCount).map { number in
      // Their shards have the same ids.
      let name = "stream-\(number)"
      let memory = InMemoryStream(
        name: name,
        shardCount: scenario.shardCount,
        clock: SimulatedClock(scheduler),
        pageWait: scenario.pageWait
      )
      return SimulatedStream(name, memory)
    }
    faults = Faults(scenario, random: seeds.fork())
    random = seeds.fork()
    checkers = allCheckers(scenario)
    history.isTraced = isTraced
  }

  // MARK: What happened

  func mark(_ mark: Mark) { marks[mark, default: 0] += 1 }

  func strike(_ kind: FaultKind) { faults.strike(kind) }

  func fail(_ what: String) {
    history.add("violation: \(what)", at: scheduler.now)
    if violation == nil { violation = "after \(scheduler.now / .seconds(1)) s: \(what)" }
  }

  func observe(_ observation: Observation) {
    history.add(observation.line, at: scheduler.now)
    for index in checkers.indices {
      if let what = checkers[index].check(observation, truth) { fail("\(checkers[index].name): \(what)") }
    }
  }

  /// What a checker still waits for of those who stay.
  var owed: String? {
    let names = Set(staying.map(\.name))
    return checkers.lazy.compactMap { $0.owed(by: names) }.first
  }

  /// A call to the store was done; `nil` if it threw.
  func done<Value>(_ call: StoreCall, _ value: Value?) {
    switch call.method {
    case .look, .leases, .leasesOwnedBy, .lease, .workers: return
    case .register:
      if let incarnation = value as? WorkerIncarnation { registered(incarnation, call) }
    case .heartbeat:
      if let incarnation = call.incarnation, value as? HeartbeatReply != nil { beat(incarnation) }
    case .serve: mark(.streamsServedAnew)
    case .deregister:
      if let incarnation = call.incarnation {
        deregistered.insert(incarnation)
        observe(.deregistered(incarnation, by: call.member))
      }
    case .plan: buryDead(call)
    default: break
    }
    noteOutcome(of: call, value)
    let now = Dictionary(uniqueKeysWithValues: store.currentLeases(in: Self.scope).map { ($0.key, $0) })
    guard now != leases else { return }
    let before = leases
    leases = now
    truth.leased.formUnion(now.keys)
    markChanges(call, before: before)
    observe(.leasesChanged(call, before: before, after: now))
  }

  private func registered(_ incarnation: WorkerIncarnation, _ call: StoreCall) {
    beat(incarnation)
    let record = store.currentWorkers(in: Self.scope).first { $0.incarnation == incarnation }
    observe(.registered(incarnation, by: call.member, maximumLeases: record?.registration.maximumLeases))
  }

  private func beat(_ incarnation: WorkerIncarnation) {
    sessions.beat(incarnation, at: serverClock.elapsed, up: storeUpTime)
  }

  private func buryDead(_ call: StoreCall) {
    for record in store.currentWorkers(in: Self.scope) where record.state == .dead {
      guard dead.insert(record.incarnation).inserted else { continue }
      let evidence = sessions.evidence(
        against: record.incarnation,
        failover: record.registration.failoverInterval,
        at: serverClock.elapsed,
        up: storeUpTime
      )
      if evidence == .lostSession { mark(.takeoverByLostSession) }
      if evidence == .oldHeartbeat { mark(.takeoverByOldHeartbeat) }
      observe(
        .workerDied(record.incarnation, by: call, isJustified: evidence != nil || isGone(record.incarnation))
      )
    }
  }

  func endSession(of incarnation: WorkerIncarnation) {
    store.killSession(of: incarnation)
    sessions.cut(incarnation)
  }

  func deadLettered(_ letters: [DeadLetter], by grant: LeaseGrant) {
    let kept = Set(store.deadLetters(of: grant.key, in: Self.scope).map(\.record.checkpoint))
    let records = letters.filter { kept.contains($0.record.checkpoint) }.compactMap {
      truth.index(of: $0.record, in: grant.stream)
    }
    mark(.recordDeadLettered)
    observe(.deadLettered(grant, records))
    for index in records { truth.deadLetter(index) }
  }

  // MARK: Time

  /// How long the store has been reachable, all in all.
  private var upBefore = Duration.zero
  private var upSince: Duration? = .zero

  /// The time for which the store was reachable, up to now.
  var storeUpTime: Duration { upBefore + (upSince.map { scheduler.now - $0 } ?? .zero) }

  func setStoreUp(_ isUp: Bool) {
    guard isUp != isStoreUp else { return }
    isStoreUp = isUp
    if isUp {
      upSince = scheduler.now
      mark(.outageOutlasted)
    } else {
      upBefore = storeUpTime
      upSince = nil
    }
  }

  /// Lets time pass for a task that cannot be cancelled.
  func pass(_ duration: Duration) async {
    if duration <= .zero { return }
    await withCheckedContinuation { continuation in
      scheduler.schedule(after: duration) { continuation.resume() }
    }
  }

  // MARK: The fleet

  @discardableResult
  func addMember(capped: Bool = true) -> Member {
    memberCount += 1
    var configuration =
      scenario.configurations.randomElement(using: &random) ?? scenario.configurations[0]
    if !capped { configuration.planning.maximumLeases = nil }
    let drift = faults.allows(.clockDrift) ? Int.random(in: -20_000...20_000, using: &random) : 0
    if drift != 0 { faults.strike(.clockDrift) }
    var reads = Set(streams.map(\.name))
    if capped, reads.count > 1, faults.allows(.mixedStreams), random.happens(0.5) {
      faults.strike(.mixedStreams)
      reads = Set(
        streams.map(\.name).shuffled(using: &random).prefix(Int.random(in: 1..<reads.count, using: &random))
      )
    }
    let member = Member(
      "w\(memberCount)",
      in: self,
      configuration: configuration,
      reads: reads,
      driftPPM: drift
    )
    members.append(member)
    do {
      try member.start(seed: random.next())
    } catch {
      fail("a worker could not be made: \(error)")
    }
    return member
  }

  func ended(_ member: Member) { history.add("\(member.name) ended", at: scheduler.now) }

  /// Those that work and are not about to end.
  var staying: [Member] { members.filter { !$0.isGone && !$0.isLeaving && !$0.hasEnded } }

  /// Whether the process of this registration does not live any more: to take it for dead needs no other reason.
  private func isGone(_ incarnation: WorkerIncarnation) -> Bool {
    (members + retired).contains { ($0.isGone || $0.hasEnded) && $0.incarnations.contains(incarnation) }
  }

  func retireEndedMembers() {
    retired += members.filter(\.hasEnded)
    members.removeAll(where: \.hasEnded)
  }
}
