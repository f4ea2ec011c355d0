import Tidemark
import TidemarkTestKit

/// What a standby has that lags behind the lease store's database, and what its promotion does.
extension World {
  struct Standby {
    var at: Duration
    /// By the server's clock.
    var clock: Duration
    var store: InMemoryLeaseStore.Backup
    var stream: InMemoryStream.Backup
    var truth: StreamTruth.Moment
  }

  func copyToStandby() {
    guard faults.allows(.storeLosesTail) || faults.allows(.streamLosesTail), isStoreUp else { return }
    standbys.append(
      Standby(
        at: scheduler.now,
        clock: serverClock.elapsed,
        store: store.backUp(),
        stream: stream.backUp(),
        truth: truth.moment
      )
    )
    standbys.removeAll { $0.at < scheduler.now - .seconds(90) }
  }

  /// The store goes on without its newest changes, and the stream with it if it stands in the same database.
  func promoteStandby(withStream: Bool) {
    guard let standby = standbys.randomElement(using: &random) else {
      store.restartServer()
      return storeHasStarted()
    }
    mark(.tailLost)
    // What is newer is lost as well: later losses go back at most to where this one did, and maybe further.
    standbys.removeAll { $0.at > standby.at }
    store.restartServer(on: standby.store)
    sessions.lose(after: standby.clock)
    leases = Dictionary(uniqueKeysWithValues: store.currentLeases(in: Self.scope).map { ($0.shardID, $0) })
    deregistered.subtract(
      store.currentWorkers(in: Self.scope).filter { $0.state != .dead }.map(\.incarnation)
    )
    let letters = leases.keys.flatMap { store.deadLetters(of: $0, in: Self.scope) }
    let left = Set(letters.compactMap { truth.index(of: $0.record) })
    observe(.tailLost(leases: leases, letters: left))
    truth.loseLetters(except: left)
    if withStream {
      mark(.recordsLost)
      truth.lose(since: standby.truth)
      olderListings = []
    }
    storeHasStarted(streamOn: withStream ? standby.stream : nil)
    loseTheSameAgain(withStream: withStream)
  }

  /// Whoever has lost its tail may lose it again soon, and with it that it had.
  private func loseTheSameAgain(withStream: Bool) {
    guard random.happens(0.4) else { return }
    scheduler.schedule(after: faults.draw(.seconds(2)...(.seconds(40)))) { [unowned self] in
      guard startMayCome, faults.areOn, isStoreUp, !standbys.isEmpty else { return }
      mark(.tailLostTwice)
      for member in members { member.link.cut() }
      promoteStandby(withStream: withStream)
    }
  }

  /// Histories are told apart by the second: two starts in one may give the second the first one's number, if it does
  /// not know of that.
  var startMayCome: Bool { lastStart.map { scheduler.now >= $0 + .seconds(1) } ?? true }

  func storeHasStarted(streamOn backup: InMemoryStream.Backup? = nil) {
    storeStarts += 1
    lastStart = scheduler.now
    sessions.restart()
    observe(.storeStarted(version: store.currentAssignmentVersion(in: Self.scope)))
    // The first who gives something out on a new history notes it: here the stream, or later the store by itself.
    if backup != nil || faults.allows(.streamLosesTail) {
      stream.enterHistory(store.enterHistory(), on: backup)
    }
  }

  func lossReported(by member: Member) {
    mark(.lossReported)
    observe(.lossReported(member.name))
  }
}
