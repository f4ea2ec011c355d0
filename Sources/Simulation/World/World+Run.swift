import Tidemark
import TidemarkTestKit

/// A run from its start to its end.
extension World {
  func run() -> Outcome {
    begin()
    scheduler.run(until: scenario.duration, afterEachStep: { violation == nil })
    heal()
    let rested = runUntil(within: scenario.restBound) { $0.isAtRest }
    if rested == nil, let unrest { fail("liveness: \(unrest), \(scenario.restBound) after the last fault") }
    end()
    return Outcome(
      seed: scenario.seed,
      violation: violation,
      hash: history.hash,
      simulated: scheduler.now,
      steps: scheduler.steps,
      records: truth.records.count,
      rest: rested ?? .zero,
      faults: faults.struck,
      marks: marks
    )
  }

  private func begin() {
    for stream in streams { for shard in stream.memory.currentShards { truth.open(shard, of: stream) } }
    if scenario.configurations.count > 1 { faults.strike(.mixedConfigurations) }
    for _ in 0..<scenario.workerCount { addMember() }
    repeatedly(every: scenario.putInterval) { $0.put() }
    repeatedly(every: scenario.topologyInterval) { $0.changeTopology() }
    repeatedly(every: scenario.faultInterval) { $0.strikeFleet() }
    repeatedly(every: scenario.faultInterval * 4) { $0.strikeStore() }
    repeatedly(every: .seconds(600)) { $0.reset() }
    repeatedly(every: scenario.topologyInterval) { $0.strikeStreams() }
    repeatedly(every: .seconds(30)) { $0.retireEndedMembers() }
    repeatedly(every: .seconds(8)) { $0.copyToStandby() }
  }

  /// Runs until something holds; looks once in a simulated second.
  /// - Returns: how long it took; `nil` if it did not hold in time or something was violated.
  private func runUntil(within limit: Duration, _ holds: (World) -> Bool) -> Duration? {
    let start = scheduler.now
    while violation == nil {
      if holds(self) { return scheduler.now - start }
      guard scheduler.now < start + limit else { return nil }
      scheduler.run(until: scheduler.now + .seconds(1), afterEachStep: { violation == nil })
    }
    return nil
  }

  /// Ends all faults, as an operator would: everything runs again, and what was stopped is started.
  private func heal() {
    history.add("healed", at: scheduler.now)
    faults.areOn = false
    poison = []
    for stream in streams { stream.isListed = true }
    setStoreUp(true)
    for member in members { member.process.resume() }
    // One without a cap, so that there is room for every lease.
    addMember(capped: false)
    startWhatHasStopped()
  }

  private func startWhatHasStopped() {
    // What was trimmed unread can only be passed by going on at the horizon.
    let position: Checkpoint? = scenario.faults.contains(.trim) ? .trimHorizon : nil
    for lease in leases.values.sorted(by: { $0.key < $1.key }) where lease.stoppedReason != nil {
      // A listing from before a loss has named shards that are not on this history: there is nothing in them to read.
      resetLease(lease, to: exists(lease.key) ? position : .shardEnd)
    }
    scheduler.schedule(after: .seconds(20)) { [unowned self] in
      if !isAtRest { startWhatHasStopped() }
    }
  }

  private func exists(_ key: LeaseKey) -> Bool {
    streams.contains { $0.name == key.stream && $0.memory.currentShards.contains { $0.id == key.shardID } }
  }

  /// Everything is consumed, every lease that can be is owned by a living worker, and the fleet is balanced.
  var isAtRest: Bool { unrest == nil }

  var unrest: String? {
    excuseWhatNobodyHadToRead()
    if let owed { return owed }
    if truth.unsettled > 0 { return "\(truth.unsettled) records are not handled" }
    let unowned = leases.values.filter { $0.owner == nil && !$0.isEnded }
    if let lease = unowned.first { return "nobody owns \(lease.key)" }
    let living = Set(staying.flatMap(\.incarnations))
    if let lease = leases.values.first(where: { $0.owner.map { !living.contains($0) } ?? false }) {
      return "the owner of \(lease.key) does not live"
    }
    let open = streams.flatMap { stream in
      stream.memory.currentShards.filter(\.isOpen).map { stream.key($0.id) }
    }
    if let missing = open.sorted().first(where: { leases[$0] == nil }) { return "\(missing) has no lease" }
    return imbalance
  }

  /// Whether somebody has nothing to do while somebody else has plenty.
  private var imbalance: String? {
    let owned = Dictionary(grouping: leases.values.filter { $0.owner != nil }) { $0.owner }
    let serving = Dictionary(
      uniqueKeysWithValues: store.currentWorkers(in: Self.scope).map {
        ($0.incarnation, $0.registration.streams)
      }
    )
    for member in staying where member.incarnations.allSatisfy({ owned[$0] == nil }) {
      let served = member.incarnations.reduce(into: Set<String>()) { $0.formUnion(serving[$1] ?? []) }
      let most = owned.values.filter { $0.contains { served.contains($0.stream) } }.map(\.count).max() ?? 0
      if most > 2 {
        return "\(member.name) has no lease while somebody has \(most), of which it might have some"
      }
    }
    return nil
  }

  /// At LATEST, what is in shards that were closed before anybody came is nobody's to read.
  private func excuseWhatNobodyHadToRead() {
    guard scenario.startsAtLatest else { return }
    for shard in truth.shards.values where !truth.leased.contains(shard.key) {
      truth.excuse(shard.key, through: .max)
    }
  }

  private func end() {
    for member in members where !member.isGone { member.leave() }
    let drains = scenario.configurations.map(\.handoff.drainTimeout).max() ?? .zero
    let limit = drains + scenario.hang * 2 + .seconds(120)
    // Whatever has gone wrong: let everything end, so that nothing of this run is left behind.
    if violation != nil { for member in members { member.crash(sessionsEndAfter: .zero) } }
    let start = scheduler.now
    while scheduler.now < start + limit, !members.allSatisfy(\.hasEnded) {
      scheduler.run(until: scheduler.now + .seconds(1))
    }
    if let member = members.first(where: { !$0.hasEnded }) { fail("\(member.name) does not end") }
    scheduler.run(until: scheduler.now + .seconds(600))
    if violation == nil,
      let lease = leases.values.first(where: { $0.owner.map(deregistered.contains) ?? false })
    {
      fail("\(lease.key) is still owned by \(lease.owner?.description ?? ""), which has deregistered")
    }
  }
}
