import Testing
import TidemarkTestKit

@testable import Tidemark

/// What a worker makes of a lease store that has come back without its newest commits.
@Suite("A lost history")
struct HistoryLossTests {
  private let scope = LeaseScope(application: "app")

  private func coordinator(owning leases: [Lease]) -> LeaseCoordinator {
    var coordinator = LeaseCoordinator(
      scope: scope,
      streams: [OneStream.name],
      configuration: WorkerConfiguration(),
      random: SharedRandom()
    )
    _ = coordinator.handle(.started)
    _ = coordinator.handle(.registered(1, sentAt: .now))
    _ = coordinator.handle(.hint)
    _ = coordinator.handle(.looked(LookReply(needsPlan: false, assignmentVersion: 7)))
    _ = coordinator.handle(.refreshed(leases))
    return coordinator
  }

  private func lease(_ epoch: Epoch, owner: WorkerIncarnation? = 1, last: Epoch? = nil) -> Lease {
    Lease(shardID: "a", owner: owner, lastEpoch: last, epoch: epoch, checkpoint: .trimHorizon)
  }

  private func grant(_ epoch: Epoch) -> LeaseGrant {
    LeaseGrant(scope: scope, shardID: "a", owner: 1, epoch: epoch)
  }

  /// A look's answer, and what the worker does then.
  private func look(
    _ coordinator: inout LeaseCoordinator,
    _ version: Int64,
    _ number: Int64,
    beganAt: Int64
  ) -> [LeaseCoordinator.Action] {
    _ = coordinator.handle(.hint)
    let history = LeaseHistory(number: number, beganAt: beganAt)
    return coordinator.handle(
      .looked(LookReply(needsPlan: false, assignmentVersion: version, history: history))
    )
  }

  private func examines(_ actions: [LeaseCoordinator.Action]) -> Bool {
    actions.contains { if case .examineLoss = $0 { true } else { false } }
  }

  @Test("a history that began before what the worker has heard is a loss, and is examined once")
  func version() {
    var worker = coordinator(owning: [lease(4)])
    #expect(examines(look(&worker, 6, 100, beganAt: 5)))
    #expect(!examines(look(&worker, 6, 100, beganAt: 5)))
    #expect(!examines(look(&worker, 9, 0, beganAt: 0)), "an answer that was overtaken")
    #expect(examines(look(&worker, 3, 200, beganAt: 3)), "a second loss")
  }

  @Test("a restart that loses nothing is no loss")
  func restart() {
    var worker = coordinator(owning: [lease(4)])
    #expect(!examines(look(&worker, 8, 100, beganAt: 7)))
    #expect(!examines(look(&worker, 8, 200, beganAt: 8)))
  }

  @Test("a version that fell is news like one that rose: the leases are read again")
  func fallenVersion() {
    var worker = coordinator(owning: [lease(4)])
    let actions = look(&worker, 3, 0, beganAt: 0)
    #expect(actions.contains { if case .refresh = $0 { true } else { false } })
    _ = worker.handle(.refreshed([lease(4)]))
    let same = look(&worker, 3, 100, beganAt: 2)
    #expect(
      same.contains { if case .refresh = $0 { true } else { false } },
      "the same number on another history"
    )
  }

  @Test("a lease whose epoch fell is lost, and given up under the epoch that the store has come back with")
  func fallenEpoch() {
    var worker = coordinator(owning: [lease(4)])
    _ = look(&worker, 8, 0, beganAt: 0)
    let actions = worker.handle(.refreshed([lease(3)]))
    #expect(examines(actions))
    #expect(actions.contains { if case .loseConsumer(grant(4)) = $0 { true } else { false } })
    _ = worker.handle(.consumerFinished(grant(4), .lost))
    let then = worker.handle(.refreshed([lease(3)]))
    #expect(!examines(then), "it was examined already")
    #expect(then.contains { if case .release(grant(3)) = $0 { true } else { false } })
  }

  @Test("a grant that was given up long ago is not read again when the store comes back without its end")
  func finishedLongAgo() {
    var worker = coordinator(owning: [lease(4)])
    _ = worker.handle(.consumerFinished(grant(4), .handedOff))
    _ = look(&worker, 8, 0, beganAt: 0)
    _ = worker.handle(.refreshed([]))
    _ = look(&worker, 9, 0, beganAt: 0)
    let actions = worker.handle(.refreshed([lease(4)]))
    #expect(actions.contains { if case .release(grant(4)) = $0 { true } else { false } })
    #expect(!actions.contains { if case .startConsumer = $0 { true } else { false } })
  }

  @Test("a registration that is gone although it beat in time is examined, one that was late is not")
  func registration() {
    for (pause, isExamined) in [(Duration.seconds(1), true), (.seconds(3600), false)] {
      var worker = coordinator(owning: [])
      _ = worker.handle(.fired(.heartbeat))
      let actions = worker.handle(.heartbeatAnswered(nil, sentAt: .now + pause))
      #expect(isExamined == actions.contains { if case .examineRegistration(1) = $0 { true } else { false } })
    }
  }

  @Test("the report names the leases whose epoch fell, is gone, or was never followed by what came after it")
  func report() {
    func report(_ seen: Epoch, _ now: Lease?) -> HistoryLoss {
      HistoryLoss(of: [:], running: [OneStream.key("a"): seen], in: now.map { [$0] } ?? [])
    }
    #expect(report(5, lease(3)).leases == [.init(key: OneStream.key("a"), epochSeen: 5, epochNow: 3)])
    #expect(report(5, nil).leases == [.init(key: OneStream.key("a"), epochSeen: 5, epochNow: nil)])
    #expect(report(5, lease(900, owner: 2, last: 3)).leases.count == 1)
    #expect(report(5, lease(900, owner: 2, last: 5)).leases.isEmpty)
    #expect(report(5, lease(5, last: 3)).leases.isEmpty)
    #expect(
      HistoryLoss(of: [OneStream.key("a"): 5], running: [:], in: []).leases.isEmpty,
      "an ended one may be deleted"
    )
  }
}
