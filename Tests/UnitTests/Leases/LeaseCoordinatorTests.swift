import Testing
import TidemarkTestKit

@testable import Tidemark

@Suite("The lease coordinator")
struct LeaseCoordinatorTests {
  // MARK: Registration and heartbeats

  @Test("a worker registers, compares the shards with the leases, plans, and starts what it is given")
  func normalCourse() {
    var worker = Coordinated()
    #expect(worker.send(.started) == ["register"])
    #expect(
      worker.send(.registered(1, sentAt: worker.now))
        == ["trust", "timer heartbeat", "timer look", "timer plan", "sync"]
    )
    #expect(worker.send(.synced) == ["plan 1", "timer shardSync"])
    #expect(
      worker.send(.planned(.applied([.assign(shardID: "a", to: 1)], dead: []))) == ["applied 1", "refresh 1"]
    )
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 4)])) == ["start a@4"])
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 4), .ended)) == ["plan 1"])
  }

  @Test("a shard's end that may have left children out is followed by a shard sync")
  func endAmongUnknown() {
    var worker = Coordinated.registered()
    _ = worker.send(.synced)
    _ = worker.send(.planned(.applied([.assign(shardID: "a", to: 1)], dead: [])))
    _ = worker.send(.refreshed([.owned("a", by: 1, epoch: 4)]))
    let actions = worker.send(.consumerFinished(worker.grant("a", 1, 4), .endedAmongUnknown))
    #expect(actions.contains("sync"))
  }

  @Test("leases are trusted for the failover interval without its margin, from when the call was sent")
  func trust() {
    var worker = Coordinated()
    _ = worker.send(.started)
    _ = worker.send(.registered(1, sentAt: worker.now))
    #expect(worker.trustedUntil == worker.now + .milliseconds(4500))
    _ = worker.send(.fired(.heartbeat))
    _ = worker.send(
      .heartbeatAnswered(.init(assignmentVersion: 1, liveWorkers: 1), sentAt: worker.now + .seconds(1))
    )
    #expect(worker.trustedUntil == worker.now + .milliseconds(5500))
  }

  @Test("a registration that fails is tried again, after pauses that grow up to two seconds")
  func registrationFails() {
    var worker = Coordinated()
    _ = worker.send(.started)
    #expect(worker.send(.registrationFailed) == ["timer register"])
    #expect((.milliseconds(80)...(.milliseconds(100))).contains(worker.pause))
    #expect(worker.send(.fired(.register)) == ["register"])
    for _ in 1...10 { _ = worker.send(.registrationFailed) }
    #expect((.milliseconds(1600)...(.seconds(2))).contains(worker.pause))
    _ = worker.send(.registered(1, sentAt: worker.now))
    #expect(worker.send(.fired(.look)) == ["look 1"])
  }

  @Test("one heartbeat is under way at a time, and the next follows its answer")
  func heartbeats() {
    var worker = Coordinated.registered()
    #expect(worker.send(.fired(.heartbeat)) == ["heartbeat 1 active"])
    #expect(worker.send(.fired(.heartbeat)) == [])
    #expect(worker.answerHeartbeat(version: 1) == ["trust", "heartbeat 1 active", "refresh 1"])
    #expect(worker.answerHeartbeat(version: 1) == ["trust", "timer heartbeat"])
    #expect(worker.pause == .seconds(1))
  }

  @Test("a heartbeat that fails is repeated soon, and nothing is trusted for it")
  func heartbeatFails() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.send(.heartbeatFailed) == ["timer heartbeat"])
    #expect(worker.pause == .milliseconds(250))
    #expect(worker.send(.fired(.heartbeat)) == ["heartbeat 1 active"])
  }

  // MARK: Death

  @Test("a worker that was declared dead loses everything and registers again")
  func declaredDead() {
    var worker = Coordinated.registered(owning: "a", "b")
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.answerDead() == ["dead 1", "lose a@1", "lose b@1", "register"])
    #expect(worker.send(.fired(.heartbeat)) == [])
    #expect(
      worker.send(.registered(2, sentAt: worker.now))
        == ["trust", "timer heartbeat", "timer look", "timer plan", "sync"]
    )
    #expect(worker.send(.fired(.heartbeat)) == ["heartbeat 2 active"])
  }

  @Test("a lease that comes back under the new registration starts once its old consumer has ended")
  func leaseComesBack() {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.send(.fired(.heartbeat))
    _ = worker.answerDead()
    _ = worker.send(.registered(2, sentAt: worker.now))
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.answerHeartbeat(version: 9).contains("refresh 2"))
    #expect(worker.send(.refreshed([.owned("a", by: 2, epoch: 3)])) == [])
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 1), .lost)) == ["refresh 2"])
    #expect(worker.send(.refreshed([.owned("a", by: 2, epoch: 3)])) == ["start a@3"])
  }

  @Test("a heartbeat that was asked for before the worker was found dead does not silence its successor")
  func heartbeatWantedAtDeath() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.plan))
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.send(.planned(.dead)) == [], "one is under way")
    #expect(worker.answerDead() == ["dead 1", "register"])
    _ = worker.send(.registered(2, sentAt: worker.now))
    #expect(worker.send(.fired(.heartbeat)) == ["heartbeat 2 active"])
  }

  @Test(
    "a heartbeat's timer that fires while nobody is registered does not silence the registration that comes next"
  )
  func heartbeatTimerAtDeath() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.plan))
    #expect(worker.send(.planned(.dead)) == ["heartbeat 1 active"])
    _ = worker.answerDead()
    #expect(worker.send(.fired(.heartbeat)) == [])
    _ = worker.send(.registered(2, sentAt: worker.now))
    #expect(worker.send(.fired(.heartbeat)) == ["heartbeat 2 active"])
  }

  @Test("calls that were under way and wanted again at the time of death can be made again afterwards")
  func callsAtDeath() {
    var worker = Coordinated.registered(owning: "a")
    #expect(worker.send(.hint) == ["look 1"])
    #expect(worker.send(.hint) == [])
    #expect(worker.send(.fired(.plan)).contains("plan 1"))
    #expect(!worker.send(.fired(.plan)).contains("plan 1"))
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.answerHeartbeat(version: 7).contains("refresh 1"))
    _ = worker.send(.fired(.heartbeat))
    #expect(!worker.answerHeartbeat(version: 8).contains("refresh 1"))
    _ = worker.send(.fired(.heartbeat))
    _ = worker.answerDead()
    #expect(worker.send(.looked(.init(needsPlan: true, assignmentVersion: 8))) == ["timer look"])
    #expect(worker.send(.planned(.applied([], dead: []))) == [])
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1)])) == [])
    _ = worker.send(.registered(2, sentAt: worker.now))
    #expect(worker.send(.hint) == ["look 2"])
    #expect(worker.send(.synced).contains("plan 2"))
    #expect(
      worker.send(.looked(.init(needsPlan: false, assignmentVersion: 8))) == ["timer look", "refresh 2"]
    )
  }

  @Test("answers to an older registration's calls, and a second word of its death, change nothing")
  func lateAnswers() {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.send(.hint)
    _ = worker.send(.fired(.heartbeat))
    _ = worker.answerDead()
    #expect(worker.answerDead() == [])
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1)])) == [])
    #expect(worker.send(.planned(.applied([], dead: []))) == [])
    #expect(worker.send(.fired(.look)) == [])
    #expect(worker.send(.hint) == [])
    #expect(worker.send(.fired(.shardSync)) == [])
  }

  // MARK: Looking and planning

  @Test("hints that come while a look is under way lead to one more")
  func hints() {
    var worker = Coordinated.registered()
    #expect(worker.send(.hint) == ["look 1"])
    #expect(worker.send(.hint) == [])
    #expect(worker.send(.hint) == [])
    #expect(worker.looked() == ["look 1"])
    #expect(worker.looked() == ["timer look"])
    #expect(worker.send(.fired(.look)) == ["look 1"])
    #expect(worker.send(.lookFailed) == ["timer look"])
  }

  @Test("the fleet as a whole looks at the same rate whatever its size")
  func lookPeriod() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.heartbeat))
    _ = worker.answerHeartbeat(liveWorkers: 100)
    _ = worker.send(.fired(.look))
    _ = worker.looked()
    #expect((.seconds(4)...(.seconds(6))).contains(worker.pause))
  }

  @Test("a look that finds something to do leads to a plan, one that sees a new version to a refresh")
  func looked() {
    var worker = Coordinated.registered()
    _ = worker.send(.hint)
    #expect(worker.send(.looked(.init(needsPlan: true, assignmentVersion: 0))) == ["timer look", "plan 1"])
    _ = worker.send(.hint)
    #expect(
      worker.send(.looked(.init(needsPlan: true, assignmentVersion: 1))) == ["timer look", "refresh 1"]
    )
    #expect(worker.send(.planned(.applied([], dead: []))) == ["plan 1"], "it was wanted meanwhile")
    #expect(worker.send(.planned(.applied([], dead: []))) == [])
  }

  @Test("while somebody else plans, a worker looks again soon, and plans only if that was not enough")
  func busyPlan() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.plan))
    #expect(worker.send(.planned(.busy)) == ["timer planAgain"])
    #expect((.microseconds(2500)...(.milliseconds(5))).contains(worker.pause))
    #expect(worker.send(.fired(.planAgain)) == ["look 1"])
    #expect(worker.send(.looked(LookReply(needsPlan: true, assignmentVersion: 5))).contains("plan 1"))
    #expect(worker.send(.planned(.busy)) == ["timer planAgain"])
    #expect(worker.pause > .milliseconds(5))
    _ = worker.send(.fired(.planAgain))
    #expect(!worker.send(.looked(LookReply(needsPlan: false, assignmentVersion: 5))).contains("plan 1"))
    _ = worker.send(.fired(.plan))
    _ = worker.send(.planned(.busy))
    #expect(worker.pause <= .milliseconds(5))
  }

  @Test("a draining worker plans itself, however busy others are")
  func busyDrain() {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.send(.drainRequested)
    #expect(worker.answerHeartbeat().contains("plan 1"))
    #expect(worker.send(.planned(.busy)) == ["timer planAgain"])
    #expect(worker.send(.fired(.planAgain)) == ["plan 1"])
    _ = worker.send(.planned(.applied([], dead: [])))
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1)])) == ["handOff a@1"])
    _ = worker.send(.fired(.plan))
    _ = worker.send(.planned(.busy))
    #expect(worker.send(.fired(.planAgain)) == ["look 1"])
  }

  @Test("a plan that failed is tried again after pauses that grow up to a second")
  func failedPlan() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.plan))
    _ = worker.send(.planFailed)
    for _ in 1...12 {
      #expect(worker.send(.fired(.planAgain)) == ["plan 1"])
      #expect(worker.send(.planFailed) == ["timer planAgain"])
    }
    #expect((.milliseconds(500)...(.seconds(1))).contains(worker.pause))
    _ = worker.send(.fired(.planAgain))
    _ = worker.send(.planned(.applied([], dead: [])))
    _ = worker.send(.fired(.planAgain))
    _ = worker.send(.planned(.busy))
    #expect(worker.pause <= .milliseconds(5))
  }

  @Test("the deaths that a plan found are reported, and steps lead to a refresh")
  func appliedPlan() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.plan))
    #expect(worker.send(.planned(.applied([], dead: [7]))) == ["applied 0"])
    _ = worker.send(.fired(.plan))
    #expect(
      worker.send(.planned(.applied([.assign(shardID: "a", to: 7)], dead: [])))
        == ["applied 1", "refresh 1"]
    )
  }

  @Test("shards are compared with the leases once at a time, sooner again after a failure")
  func sync() {
    var worker = Coordinated()
    _ = worker.send(.started)
    #expect(worker.send(.registered(1, sentAt: worker.now)).last == "sync")
    #expect(worker.send(.fired(.shardSync)) == [])
    #expect(worker.send(.syncFailed) == ["sync"], "what was asked for meanwhile happens after it")
    #expect(worker.send(.syncFailed) == ["timer shardSync"])
    #expect((.milliseconds(800)...(.milliseconds(1200))).contains(worker.pause))
    #expect(worker.send(.fired(.shardSync)) == ["sync"])
    #expect(worker.send(.synced) == ["plan 1", "timer shardSync"])
    #expect((.seconds(24)...(.seconds(36))).contains(worker.pause))
  }

  // MARK: Leases

  @Test("a refresh starts what is new, loses what is gone, and leaves alone what is as it was")
  func refresh() {
    var worker = Coordinated.registered(owning: "a", "b")
    _ = worker.wantRefresh()
    #expect(
      worker.send(
        .refreshed([.owned("b", by: 1, epoch: 1), .owned("c", by: 1, epoch: 5), .owned("d", by: 2, epoch: 1)])
      )
        == ["start c@5", "lose a@1"]
    )
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("b", by: 1, epoch: 1), .owned("c", by: 1, epoch: 5)])) == [])
  }

  @Test("a lease under a newer epoch is lost first and started when that is done")
  func otherEpoch() {
    var worker = Coordinated.registered(owning: "a", epoch: 4)
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 6)])) == ["lose a@4"])
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 6)])) == [], "it is lost already")
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 4), .lost)) == ["refresh 1"])
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 6)])) == ["start a@6"])
  }

  @Test(
    "a lease that was given up and came back before the consumer had ended is read again",
    arguments: [ShardConsumer.Outcome.handedOff, .stopped]
  )
  func comesBackEarly(outcome: ShardConsumer.Outcome) {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 3)])) == ["lose a@1"])
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 1), outcome)) == ["refresh 1"])
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 3)])) == ["start a@3"])
  }

  @Test("a lease whose consumer has finished is released, not started again")
  func finishedGrant() {
    var worker = Coordinated.registered(owning: "a", epoch: 2)
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 2), .handedOff)) == [])
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 2)])) == ["release a@2"])
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 3)])) == ["start a@3"])
  }

  @Test("a handoff is asked for once, and withdrawn when its request is gone")
  func handOff() {
    var worker = Coordinated.registered(owning: "a")
    for (handoffTo, expected) in [
      (2, ["handOff a@1"]), (2, []), (nil, ["withdraw a@1"]), (nil, []), (3, ["handOff a@1"]),
    ] as [(WorkerIncarnation?, [String])] {
      _ = worker.wantRefresh()
      #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1, handoffTo: handoffTo)])) == expected)
    }
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 1), .handedOff)) == [])
  }

  @Test("a lease that is to be handed off from the start is started and asked for at once")
  func handOffAtStart() {
    var worker = Coordinated.registered()
    _ = worker.wantRefresh()
    #expect(
      worker.send(.refreshed([.owned("a", by: 1, epoch: 1, handoffTo: 2)])) == ["start a@1", "handOff a@1"]
    )
  }

  @Test("one refresh is under way at a time; a version seen meanwhile, or a failure, asks for another")
  func refreshCalls() {
    var worker = Coordinated.registered()
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.answerHeartbeat(version: 5) == ["trust", "timer heartbeat", "refresh 1"])
    _ = worker.send(.hint)
    #expect(worker.looked(version: 6) == ["timer look"])
    #expect(worker.send(.refreshed([])) == ["refresh 1"])
    #expect(worker.send(.refreshFailed) == [])
    _ = worker.send(.hint)
    #expect(worker.looked(version: 6) == ["timer look", "refresh 1"], "a failed refresh forgets the version")
  }

  // MARK: Draining

  @Test("a worker without leases deregisters at once, and hears nothing after the end")
  func drainIdle() {
    var worker = Coordinated.registered()
    #expect(
      worker.send(.drainRequested) == ["timer drainDeadline", "heartbeat 1 draining", "deregister 1"]
    )
    #expect(worker.send(.drainRequested) == [])
    #expect(worker.send(.deregistered) == ["finish"])
    for event in [.started, .hint, .synced, .drainRequested, .deregistered, .fired(.heartbeat)]
      as [LeaseCoordinator.Event]
    {
      #expect(worker.send(event) == [])
    }
  }

  @Test("a drain is made known, planned for, and then every lease goes where the plan says")
  func drain() {
    var worker = Coordinated.registered(owning: "a")
    #expect(worker.send(.drainRequested) == ["timer drainDeadline", "heartbeat 1 draining"])
    #expect(worker.pause == .seconds(30), "the deadline")
    #expect(worker.answerHeartbeat() == ["trust", "timer heartbeat", "plan 1"])
    #expect(
      worker.send(.planned(.applied([.handOff(shardID: "a", to: 2)], dead: []))) == [
        "applied 1", "refresh 1",
      ]
    )
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1, handoffTo: 2)])) == ["handOff a@1"])
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 1), .handedOff)) == ["deregister 1"])
    #expect(worker.send(.deregistered) == ["finish"])
  }

  @Test(
    "without other workers the leases are given up to nobody, but only after a plan that knew of the drain"
  )
  func drainAlone() {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.send(.fired(.heartbeat))
    #expect(worker.send(.drainRequested) == ["timer drainDeadline"], "a heartbeat is under way")
    #expect(worker.answerHeartbeat() == ["trust", "heartbeat 1 draining"])
    _ = worker.send(.fired(.plan))
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1)])) == [])
    #expect(worker.answerHeartbeat() == ["trust", "timer heartbeat"], "a plan is under way")
    #expect(
      worker.send(.planned(.applied([], dead: []))) == ["plan 1", "refresh 1"],
      "one that did not know"
    )
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1)])) == [])
    #expect(worker.send(.planned(.applied([], dead: []))) == ["refresh 1"])
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1)])) == ["handOff a@1"])
  }

  @Test("past the drain's deadline the leases are given up although their consumers hang")
  func drainDeadline() {
    var worker = Coordinated.registered(owning: "a", "b")
    _ = worker.send(.drainRequested)
    #expect(worker.send(.fired(.drainDeadline)) == ["lose a@1", "lose b@1", "deregister 1"])
    #expect(
      worker.send(.fired(.heartbeat)) == [],
      "a worker that is leaving says no more that it takes leases"
    )
    #expect(worker.send(.consumerFinished(worker.grant("a", 1, 1), .lost)) == [])
    #expect(worker.send(.fired(.drainDeadline)) == [])
    #expect(worker.send(.deregistered) == ["finish"])
  }

  @Test("the deadline does not cut off a deregistration")
  func deadlineWhileDeregistering() {
    var worker = Coordinated.registered()
    _ = worker.send(.drainRequested)
    #expect(worker.send(.fired(.drainDeadline)) == [])
    #expect(worker.send(.deregistered) == ["finish"])
  }

  @Test("a worker that is declared dead while it drains waits for its consumers, at most until the deadline")
  func deadWhileDraining() {
    for isInTime in [true, false] {
      var worker = Coordinated.registered(owning: "a")
      _ = worker.send(.drainRequested)
      #expect(worker.answerDead() == ["dead 1", "lose a@1"])
      let end =
        isInTime
        ? LeaseCoordinator.Event.consumerFinished(worker.grant("a", 1, 1), .lost) : .fired(.drainDeadline)
      #expect(worker.send(end) == ["finish"])
    }
  }

  // MARK: Stalls

  @Test(
    "the lease of a stalled consumer is given away once the store knows that this worker refuses the shard"
  )
  func stall() {
    var worker = Coordinated.registered(owning: "a", "b")
    #expect(worker.send(.consumerStalled(worker.grant("a", 1, 1))) == ["heartbeat 1 active refusing a"])
    let before = Lease.owned("a", by: 1, epoch: 1)
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([before, .owned("b", by: 1, epoch: 1)])) == [], "it is not known yet")
    #expect(worker.answerHeartbeat() == ["trust", "refresh 1", "timer heartbeat"])
    #expect(worker.send(.refreshed([before, .owned("b", by: 1, epoch: 1)])) == ["release a@1"])
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([before, .owned("b", by: 1, epoch: 1)])) == [], "once is enough")
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("b", by: 1, epoch: 1)])) == ["lose a@1"])
  }

  @Test(
    "a lease that comes back while its consumer hangs is given up again, and taken once the consumer has ended"
  )
  func stallComesBack() {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.send(.consumerStalled(worker.grant("a", 1, 1)))
    _ = worker.answerHeartbeat()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 1)])) == ["release a@1"])
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([])) == ["lose a@1"])
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 3)])) == ["release a@3"])
    #expect(
      worker.send(.consumerFinished(worker.grant("a", 1, 1), .lost)) == ["refresh 1", "heartbeat 1 active"],
      "it refuses no more"
    )
    #expect(worker.send(.refreshed([.owned("a", by: 1, epoch: 5)])) == ["start a@5"])
  }

  @Test(
    "a worker that was declared dead refuses the shard of a stalled consumer under its new registration too"
  )
  func stallOutlivesRegistration() {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.send(.consumerStalled(worker.grant("a", 1, 1)))
    #expect(worker.answerDead() == ["dead 1", "lose a@1", "register"])
    _ = worker.send(.registered(2, sentAt: worker.now))
    _ = worker.wantRefresh()
    #expect(worker.send(.refreshed([.owned("a", by: 2, epoch: 3)])) == [])
    #expect(worker.send(.fired(.heartbeat)) == ["heartbeat 2 active refusing a"])
    #expect(worker.answerHeartbeat() == ["trust", "refresh 2", "timer heartbeat"])
    #expect(worker.send(.refreshed([.owned("a", by: 2, epoch: 3)])) == ["release a@3"])
  }

  @Test("word of a stall that comes after the consumer's end changes nothing")
  func lateStall() {
    var worker = Coordinated.registered(owning: "a")
    _ = worker.send(.consumerFinished(worker.grant("a", 1, 1), .handedOff))
    #expect(worker.send(.consumerStalled(worker.grant("a", 1, 1))) == [])
  }

  @Test("a drain before the registration is answered ends with the answer, whatever it is")
  func drainWhileRegistering() {
    for succeeds in [true, false] {
      var worker = Coordinated()
      _ = worker.send(.started)
      #expect(worker.send(.drainRequested) == [])
      if succeeds {
        #expect(worker.send(.registered(1, sentAt: worker.now)) == ["deregister 1"])
        #expect(worker.send(.deregistered) == ["finish"])
      } else {
        #expect(worker.send(.registrationFailed) == ["finish"])
      }
    }
    var waiting = Coordinated()
    _ = waiting.send(.started)
    _ = waiting.send(.registrationFailed)
    _ = waiting.send(.drainRequested)
    #expect(waiting.send(.fired(.register)) == ["finish"])
  }
}

/// A coordinator and what it asked for last.
struct Coordinated {
  let now = ContinuousClock.now
  private(set) var trustedUntil: ContinuousClock.Instant?
  /// Of the last timer that was started.
  private(set) var pause: Duration = .zero
  private var version: Int64 = 0
  private let scope = LeaseScope(application: "app")
  private var coordinator: LeaseCoordinator

  init(streams: Set<String> = [OneStream.name]) {
    coordinator = LeaseCoordinator(
      scope: LeaseScope(application: "app"),
      streams: streams,
      configuration: WorkerConfiguration(),
      random: SharedRandom()
    )
  }

  /// Registered as 1, synced, with the version 0 known, and nothing under way.
  static func registered(owning shardIDs: String..., epoch: Epoch = 1) -> Coordinated {
    var worker = Coordinated()
    _ = worker.send(.started)
    _ = worker.send(.registered(1, sentAt: worker.now))
    _ = worker.send(.synced)
    _ = worker.send(.planned(.applied([], dead: [])))
    _ = worker.send(.hint)
    _ = worker.looked(version: 0)
    _ = worker.send(.refreshed(shardIDs.map { .owned($0, by: 1, epoch: epoch) }))
    return worker
  }

  mutating func send(_ event: LeaseCoordinator.Event) -> [String] {
    coordinator.handle(event).map { action in
      switch action {
      case .trust(let end): trustedUntil = end
      case .startTimer(_, let duration): pause = duration
      default: break
      }
      return action.summary
    }
  }

  /// - Parameter version: by default the one that is known.
  mutating func answerHeartbeat(version: Int64? = nil, liveWorkers: Int = 1, streamsVersion: Int64 = 0)
    -> [String]
  {
    send(
      .heartbeatAnswered(
        .init(
          assignmentVersion: version ?? self.version,
          liveWorkers: liveWorkers,
          streamsVersion: streamsVersion
        ),
        sentAt: now
      )
    )
  }

  mutating func answerDead(after pause: Duration = .seconds(60)) -> [String] {
    send(.heartbeatAnswered(nil, sentAt: now + pause))
  }

  mutating func looked(version: Int64 = 0, history: LeaseHistory = .init()) -> [String] {
    send(.looked(.init(needsPlan: false, assignmentVersion: version, history: history)))
  }

  /// Makes the coordinator see a version that is new to it.
  mutating func wantRefresh() -> [String] {
    version += 1
    _ = send(.hint)
    return looked(version: version)
  }

  func grant(_ shardID: String, _ owner: WorkerIncarnation, _ epoch: Epoch) -> LeaseGrant {
    LeaseGrant(scope: scope, shardID: shardID, owner: owner, epoch: epoch)
  }
}

extension Lease {
  static func owned(
    _ shardID: String,
    of stream: String = OneStream.name,
    by owner: WorkerIncarnation,
    epoch: Epoch,
    handoffTo: WorkerIncarnation? = nil
  ) -> Lease {
    let key = LeaseKey(stream: stream, shardID: shardID)
    return Lease(key: key, owner: owner, epoch: epoch, checkpoint: .trimHorizon, handoffTo: handoffTo)
  }
}

extension LeaseCoordinator.Action {
  var summary: String {
    func text(_ grant: LeaseGrant) -> String { "\(grant.shardID)@\(grant.epoch)" }
    switch self {
    case .register: return "register"
    case .serve(let incarnation, let statement):
      return
        "serve\(statement.version) \(incarnation) \(statement.streams.sorted().joined(separator: " "))"
    case .heartbeat(let incarnation, let state, let refused):
      let refusing =
        refused.isEmpty ? "" : " refusing \(refused.sorted().map(\.shardID).joined(separator: " "))"
      return "heartbeat \(incarnation) \(state)\(refusing)"
    case .look(let incarnation): return "look \(incarnation)"
    case .plan(let incarnation): return "plan \(incarnation)"
    case .refresh(let incarnation): return "refresh \(incarnation)"
    case .syncShards: return "sync"
    case .deregister(let incarnation): return "deregister \(incarnation)"
    case .release(let grant): return "release \(text(grant))"
    case .startConsumer(_, let grant): return "start \(text(grant))"
    case .requestHandOff(let grant): return "handOff \(text(grant))"
    case .withdrawHandOff(let grant): return "withdraw \(text(grant))"
    case .loseConsumer(let grant): return "lose \(text(grant))"
    case .trust: return "trust"
    case .startTimer(let timer, _): return "timer \(timer)"
    case .declaredDead(let incarnation): return "dead \(incarnation)"
    case .examineLoss: return "examine loss"
    case .examineRegistration(let incarnation): return "examine registration \(incarnation)"
    case .planApplied(let assignments, _): return "applied \(assignments.count)"
    case .finish: return "finish"
    }
  }
}

extension WorkerIncarnation: ExpressibleByIntegerLiteral {
  public init(integerLiteral number: Int64) { self.init(number) }
}

extension Epoch: ExpressibleByIntegerLiteral {
  public init(integerLiteral number: Int64) { self.init(number) }
}
