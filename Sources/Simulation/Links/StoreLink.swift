import Synchronization
import Tidemark
import TidemarkTestKit
import Waiting

/// One member's connections to the lease store's server. Requests and answers take time, get lost and come twice;
/// what was sent is done even if its sender is stopped meanwhile, and what a dead sender had not sent yet never is.
final class StoreLink: LeaseStore, @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.

  /// A call that is under way.
  private final class Request: @unchecked Sendable {
    // `@unchecked Sendable`: the scheduler's one thread uses it.
    var task: Task<Void, Never>?
    var isCut = false
  }

  private unowned let world: World
  private unowned let member: Member
  private let tables: InMemoryLeaseStore
  private var underWay: [ObjectIdentifier: Request] = [:]
  private var hintStreams: [Task<Void, Never>] = []

  init(_ world: World, _ member: Member) {
    self.world = world
    self.member = member
    tables = InMemoryLeaseStore(sharing: world.store)
    tables.injectFaults { [unowned world] call in
      guard call.method == .plan else { return .none }
      return LeaseStoreFault(delayInside: world.faults.planPause())
    }
  }

  /// Breaks all connections: what the server has not done yet it will not do, and nobody hears of the rest.
  func cut() {
    for request in underWay.values {
      request.isCut = true
      request.task?.cancel()
    }
    underWay = [:]
  }

  func close() {
    cut()
    for task in hintStreams { task.cancel() }
  }

  // MARK: Calls

  private func call<Value: Sendable>(
    _ method: LeaseStoreCall.Method,
    by incarnation: WorkerIncarnation? = nil,
    grants: [LeaseGrant] = [],
    _ body: @escaping @Sendable (InMemoryLeaseStore) async throws -> Value
  ) async throws -> Value {
    try Task.checkCancellation()
    if member.isGone { throw CancellationError() }
    let call = StoreCall(method: method, member: member.name, incarnation: incarnation, grants: grants)
    let fault = world.faults.storeFault(for: method)
    guard world.isStoreUp, fault.outcome != .refused else {
      try await member.clock.sleep(for: .milliseconds(50))
      throw TidemarkError(.storeUnavailable, "The store cannot be reached.")
    }
    let request = Request()
    underWay[ObjectIdentifier(request)] = request
    defer { underWay[ObjectIdentifier(request)] = nil }
    let answer = OneShot<Result<Value, any Error>>()
    request.task = world.server.start { [self] in
      answer.fire(await serve(call, fault, request, body))
    }
    guard let result = await answer.wait() else { throw CancellationError() }
    return try result.get()
  }

  /// What happens at the server's end.
  private func serve<Value: Sendable>(
    _ call: StoreCall,
    _ fault: CallFault,
    _ request: Request,
    _ body: @escaping @Sendable (InMemoryLeaseStore) async throws -> Value
  ) async -> Result<Value, any Error> {
    let lost = TidemarkError(.outcomeUnknown, "The store did not answer.")
    await world.pass(fault.delayBefore)
    if request.isCut || !world.isStoreUp || fault.outcome == .requestLost {
      if call.isOwnersWrite { world.mark(.unknownOutcomeWasNotDone) }
      return .failure(lost)
    }
    let result: Result<Value, any Error>
    do {
      let value = try await body(tables)
      world.done(call, value)
      result = .success(value)
    } catch {
      world.done(call, nil as Value?)
      result = .failure(error is CancellationError ? lost : error)
    }
    if fault.isDoubled, call.canComeTwice { comeAgain(call, after: fault.delayAfter * 3, body) }
    await world.pass(fault.delayAfter)
    guard request.isCut || !world.isStoreUp || fault.outcome == .replyLost else { return result }
    if call.isOwnersWrite { world.mark(.unknownOutcomeWasDone) }
    // A session whose registration was not answered is closed by both ends.
    if case .success(let value) = result, let incarnation = value as? WorkerIncarnation {
      world.endSession(of: incarnation)
    }
    return .failure(lost)
  }

  private func comeAgain<Value: Sendable>(
    _ call: StoreCall,
    after delay: Duration,
    _ body: @escaping @Sendable (InMemoryLeaseStore) async throws -> Value
  ) {
    world.strike(.replyDoubled)
    let start = world.storeStarts
    world.server.start { [self] in
      await world.pass(delay)
      guard !member.isGone, world.isStoreUp, world.storeStarts == start else { return }
      let value = try? await body(tables)
      world.done(call, value)
    }
  }

  // MARK: LeaseStore

  func register(_ worker: WorkerRegistration) async throws -> WorkerIncarnation {
    let sentAt = member.clock.elapsed
    let incarnation = try await call(.register) { try await $0.register(worker) }
    member.registered(incarnation, sentAt: sentAt)
    return incarnation
  }

  func heartbeat(_ beat: Heartbeat) async throws -> HeartbeatReply? {
    let sentAt = member.clock.elapsed
    let reply = try await call(.heartbeat, by: beat.incarnation) { try await $0.heartbeat(beat) }
    guard let reply else {
      world.mark(.deadWorkerCameBack)
      return nil
    }
    member.heartbeatAnswered(sentAt: sentAt)
    world.observe(.told(member.name, version: reply.assignmentVersion))
    return reply
  }

  func serve(
    _ streams: Set<String>,
    version: Int64,
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope
  ) async throws {
    try await call(.serve, by: incarnation) {
      try await $0.serve(streams, version: version, as: incarnation, in: scope)
    }
  }

  func look(as incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> LookReply {
    let reply = try await call(.look, by: incarnation) { try await $0.look(as: incarnation, in: scope) }
    world.observe(.told(member.name, version: reply.assignmentVersion))
    return reply
  }

  func deregister(_ incarnation: WorkerIncarnation, in scope: LeaseScope) async throws {
    try await call(.deregister, by: incarnation) { try await $0.deregister(incarnation, in: scope) }
  }

  func hints(for incarnation: WorkerIncarnation, in scope: LeaseScope) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    let heard = tables.hints(for: incarnation, in: scope)
    let task = world.server.start { [self] in
      for await _ in heard where world.isStoreUp {
        for delay in world.faults.hintDelays() {
          world.scheduler.schedule(after: delay) { continuation.yield() }
        }
      }
      continuation.finish()
    }
    hintStreams.append(task)
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }

  func plan(
    as incarnation: WorkerIncarnation,
    in scope: LeaseScope,
    handoffTimeout: Duration,
    decide: @escaping @Sendable (FleetSnapshot) -> [Assignment]
  ) async throws -> PlanOutcome {
    let outcome = try await call(.plan, by: incarnation) { [world, member] tables in
      let steps = Mutex(0)
      let outcome = try await tables.plan(as: incarnation, in: scope, handoffTimeout: handoffTimeout) {
        snapshot in
        world.planned(on: snapshot)
        let decided = decide(snapshot)
        steps.withLock { $0 = decided.count }
        let serving = Dictionary(uniqueKeysWithValues: snapshot.workers.map { ($0.incarnation, $0.streams) })
        world.observe(.decided(member.name, decided, serving: serving))
        return decided
      }
      if case .applied(let applied, _) = outcome, applied.count < steps.withLock({ $0 }) {
        world.mark(.planSkippedChangedLease)
      }
      return outcome
    }
    world.outcome(outcome)
    return outcome
  }

  func createLeases(_ leases: [NewLease], in scope: LeaseScope) async throws -> Int {
    try await call(.createLeases) { try await $0.createLeases(leases, in: scope) }
  }

  func leases(in scope: LeaseScope) async throws -> [Lease] {
    try await call(.leases) { try await $0.leases(in: scope) }
  }

  func leases(ownedBy incarnation: WorkerIncarnation, in scope: LeaseScope) async throws -> [Lease] {
    try await call(.leasesOwnedBy, by: incarnation) { try await $0.leases(ownedBy: incarnation, in: scope) }
  }

  func lease(_ key: LeaseKey, in scope: LeaseScope) async throws -> Lease? {
    try await call(.lease) { try await $0.lease(key, in: scope) }
  }

  func workers(in scope: LeaseScope) async throws -> [WorkerRecord] {
    try await call(.workers) { try await $0.workers(in: scope) }
  }

  func checkpoint(_ writes: [CheckpointWrite]) async throws -> [WriteOutcome] {
    try await call(.checkpoint, grants: writes.map(\.grant)) { try await $0.checkpoint(writes) }
  }

  func prepareCheckpoint(
    _ pending: Lease.PendingCheckpoint,
    for grant: LeaseGrant,
    from: Checkpoint
  ) async throws -> WriteOutcome {
    try await call(.prepareCheckpoint, grants: [grant]) {
      try await $0.prepareCheckpoint(pending, for: grant, from: from)
    }
  }

  func endShard(
    _ grant: LeaseGrant,
    children: [Shard],
    restingOn ending: ShardEnding
  ) async throws -> WriteOutcome {
    try await call(.endShard, grants: [grant]) {
      try await $0.endShard(grant, children: children, restingOn: ending)
    }
  }

  func transfer(_ grant: LeaseGrant) async throws -> WriteOutcome {
    try await call(.transfer, grants: [grant]) { try await $0.transfer(grant) }
  }

  func stop(_ grant: LeaseGrant, reason: String) async throws -> WriteOutcome {
    try await call(.stop, grants: [grant]) { try await $0.stop(grant, reason: reason) }
  }

  func deadLetter(_ letters: [DeadLetter], passing write: CheckpointWrite) async throws -> WriteOutcome {
    try await call(.deadLetter, grants: [write.grant]) { [world] tables in
      let outcome = try await tables.deadLetter(letters, passing: write)
      if outcome == .accepted { world.deadLettered(letters, by: write.grant) }
      return outcome
    }
  }

  func reset(_ key: LeaseKey, in scope: LeaseScope, to checkpoint: Checkpoint?) async throws -> Lease {
    try await call(.reset) { try await $0.reset(key, in: scope, to: checkpoint) }
  }

  func deleteEndedLeases(_ keys: [LeaseKey], in scope: LeaseScope) async throws {
    try await call(.deleteEndedLeases) { try await $0.deleteEndedLeases(keys, in: scope) }
  }
}
