import Tidemark
import TidemarkTestKit

/// What a standby has that lags behind the lease store's database, and what its promotion does.
extension World {
  struct Standby {
    var at: Duration
    /// By the server's clock.
    var clock: Duration
    var store: InMemoryLeaseStore.Backup
    var streams: [InMemoryStream.Backup]
    var truth: StreamTruth.Moment
  }

  func copyToStandby() {
    guard faults.allows(.storeLosesTail) || faults.allows(.streamLosesTail), isStoreUp else { return }
    standbys.append(
      Standby(
        at: scheduler.now,
        clock: serverClock.elapsed,
        store: store.backUp(),
        streams: streams.map { $0.memory.backUp() },
        truth: truth.moment
      )
    )
    standbys.removeAll { $0.at < scheduler.now - .seconds(90) }
  }

  /// The store goes on without its newest changes, and the stream with it if it is in the same database.
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
    leases = Dictionary(uniqueKeysWithValues: store.currentLeases(in: Self.scope).map { ($0.key, $0) })
    deregistered.subtract(
      store.currentWorkers(in: Self.scope).filter { $0.state != .dead }.map(\.incarnation)
    )
    let left = Set(
      leases.keys.flatMap { key in
        store.deadLetters(of: key, in: Self.scope).compactMap { truth.index(of: $0.record, in: key.stream) }
      }
    )
    observe(.tailLost(leases: leases, letters: left))
    truth.loseLetters(except: left)
    if withStream {
      mark(.recordsLost)
      truth.lose(since: standby.truth)
      for stream in streams { stream.olderListings = [] }
    }
    storeHasStarted(streamsOn: withStream ? standby.streams : nil)
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

  func storeHasStarted(streamsOn backups: [InMemoryStream.Backup]? = nil) {
    storeStarts += 1
    lastStart = scheduler.now
    sessions.restart()
    observe(.storeStarted(version: store.currentAssignmentVersion(in: Self.scope)))
    // The first that gives something out on a new history notes it: here the stream, or later the store by itself.
    if backups != nil || faults.allows(.streamLosesTail) {
      let number = store.enterHistory()
      for (index, stream) in streams.enumerated() { stream.memory.enterHistory(number, on: backups?[index]) }
    }
  }

  func lossReported(by member: Member) {
    mark(.lossReported)
    observe(.lossReported(member.name))
  }
}
