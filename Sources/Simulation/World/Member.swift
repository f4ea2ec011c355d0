import Logging
import ServiceLifecycleTestKit
import Tidemark
import TidemarkTestKit

/// One worker process of the simulated fleet: the production `Worker` on an executor, a clock and connections of
/// its own.
final class Member: @unchecked Sendable {
  // `@unchecked Sendable`: the scheduler's one thread uses it.
  let name: String
  let process: SimulatedProcess
  let clock: SimulatedClock
  let configuration: WorkerConfiguration
  /// The streams that its version of the program reads.
  let reads: Set<String>
  private unowned let world: World
  private(set) var link: StoreLink!
  private var task: Task<Void, Never>?
  private var trigger: GracefulShutdownTestTrigger?

  /// The registrations of this process that were answered, newest last.
  private(set) var incarnations: [WorkerIncarnation] = []
  /// By its own clock: until when a heartbeat that was answered lets it act on its leases.
  private var trustedUntil: Duration = .zero
  /// The process is gone: whatever its tasks still do on their way out, nobody sees it.
  private(set) var isGone = false
  private(set) var isLeaving = false
  private(set) var hasEnded = false

  init(_ name: String, in world: World, configuration: WorkerConfiguration, reads: Set<String>, driftPPM: Int)
  {
    self.name = name
    self.world = world
    self.configuration = configuration
    self.reads = reads
    process = SimulatedProcess(name, on: world.scheduler)
    clock = SimulatedClock(world.scheduler, driftPPM: driftPPM)
    link = StoreLink(world, self)
  }

  var isTrusted: Bool { clock.elapsed < trustedUntil }

  func start(seed: UInt64) throws {
    let random = SharedRandom(SeededRandom(seed: seed))
    let worker = try Worker(
      application: World.scope.application,
      catalog: CatalogLink(world, self),
      leases: link,
      configuration: configuration,
      identity: WorkerIdentity(workerID: name, host: "simulated", processID: 0),
      events: MemberEvents(member: self, world: world),
      clock: clock,
      random: random,
      logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() },
      processor: { [unowned world, unowned self] shard in world.makeProcessor(for: shard, of: self) }
    )
    task = process.start { [self] in
      do {
        try await testGracefulShutdown { trigger in
          self.trigger = trigger
          if isLeaving { trigger.triggerGracefulShutdown() }
          try await worker.run()
        }
      } catch {
        if !isGone { world.fail("\(name) ended with an error: \(error)") }
      }
      hasEnded = true
      trigger = nil
      link.close()
      for incarnation in incarnations { world.endSession(of: incarnation) }
      world.ended(self)
    }
  }

  /// SIGTERM.
  func leave() {
    isLeaving = true
    trigger?.triggerGracefulShutdown()
  }

  /// SIGKILL.
  /// - Parameter sessionsEndAfter: when the server notices.
  func crash(sessionsEndAfter delay: Duration) {
    guard !isGone, !hasEnded else { return }
    isGone = true
    process.resume()
    link.close()
    task?.cancel()
    let incarnations = incarnations
    world.scheduler.schedule(after: delay) { [unowned world] in
      for incarnation in incarnations { world.endSession(of: incarnation) }
    }
  }

  /// Its connections break, and with them its sessions; the process lives.
  func cutConnections() {
    link.cut()
    for incarnation in incarnations { world.endSession(of: incarnation) }
  }

  func registered(_ incarnation: WorkerIncarnation, sentAt: Duration) {
    incarnations.append(incarnation)
    heartbeatAnswered(sentAt: sentAt)
  }

  func heartbeatAnswered(sentAt: Duration) {
    let trust = configuration.failover.interval - configuration.failover.margin
    trustedUntil = max(trustedUntil, sentAt + trust)
  }
}

/// What a member reports of itself.
private struct MemberEvents: WorkerEvents {
  unowned let member: Member
  unowned let world: World

  func leaseEnded(_ grant: LeaseGrant, how: LeaseEnd) {
    if !member.isGone { world.observe(.leaseEnded(member.name, grant, how, isLeaving: member.isLeaving)) }
  }

  func historyLost(_ loss: HistoryLoss) {
    if !member.isGone { world.lossReported(by: member) }
  }

  func processorStalled(_ grant: LeaseGrant, call: ProcessorCall, givesLeaseAway: Bool) {
    guard !member.isGone, givesLeaseAway else { return }
    world.mark(.stalledLeaseGivenAway)
    world.observe(.givenAway(member.name, grant))
  }

  func recordsTrimmed(_ grant: LeaseGrant, after position: Checkpoint, error: TidemarkError) {
    if !member.isGone, member.configuration.reading.trimmedData == .skipToHorizon {
      world.mark(.trimmedSkipped)
    }
  }
}
