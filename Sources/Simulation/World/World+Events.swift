import Tidemark
import TidemarkTestKit

/// What happens to the fleet, its store and its stream by chance, until the faults end.
extension World {
  /// Does something again and again, at random times around `interval`, until the faults end.
  func repeatedly(every interval: Duration, _ action: @escaping (World) -> Void) {
    let pause = random.duration(in: (interval / 4)...(interval * 7 / 4))
    guard scheduler.now + pause < scenario.duration else { return }
    scheduler.schedule(after: pause) { [unowned self] in
      action(self)
      repeatedly(every: interval, action)
    }
  }

  // MARK: The stream

  func put() {
    for _ in 0..<Int.random(in: 1...8, using: &random) {
      let item = Int.random(in: 0..<scenario.itemCount, using: &random)
      guard let stream = streams.filter(\.isOpen).randomElement(using: &random) else { return }
      guard let shardID = stream.memory.shardID(taking: String(item)),
        let record = try? stream.memory.put([0], partitionKey: String(item))
      else { return fail("no open shard takes an item") }
      observe(.put(stream: stream.name, sequence: record.sequenceNumber.uint64Value ?? 0))
      truth.put(record, item: item, in: stream.key(shardID))
      if faults.allows(.poison), random.happens(0.01) { poison.insert(truth.records.count - 1) }
    }
  }

  func changeTopology() {
    guard faults.areOn else { return }
    // One change may follow another before anybody has heard of the first.
    if random.happens(0.3) {
      scheduler.schedule(after: faults.draw(.zero...(.seconds(20)))) { [unowned self] in changeTopology() }
    }
    guard let stream = streams.randomElement(using: &random) else { return }
    let before = stream.memory.currentShards
    let open = before.filter(\.isOpen)
    let kinds = [FaultKind.split, .merge, .rotate, .trim, .removal].filter(faults.allows)
    guard let kind = kinds.randomElement(using: &random) else { return }
    // Nothing would remember that a disabled stream was read, once its leases are gone and an old list still shows it.
    guard let shard = open.randomElement(using: &random) else { return }
    var children: [Shard] = []
    var parents = [shard]
    switch kind {
    case .split: if open.count < 10 { children = stream.memory.split(shard.id) }
    case .rotate: children = stream.memory.rotate(shard.id).map { [$0] } ?? []
    case .merge:
      let neighbours = open.filter {
        $0.hashRange?.end != .max && $0.hashRange?.end.advanced(by: 1) == shard.hashRange?.start
      }
      if let neighbour = neighbours.first {
        parents.append(neighbour)
        children = stream.memory.merge(neighbour.id, shard.id).map { [$0] } ?? []
      }
    case .trim: return trim(in: before, of: stream)
    default: return remove(from: before, of: stream)
    }
    guard !children.isEmpty else { return }
    faults.strike(kind)
    for parent in parents { truth.close(stream.key(parent.id)) }
    for child in children { truth.open(child, of: stream) }
    stream.olderListings.append((before, scheduler.now + .seconds(120)))
  }

  /// Retention drops the first records of a shard, whether they were read or not.
  private func trim(in shards: [Shard], of stream: SimulatedStream) {
    guard let shard = shards.randomElement(using: &random),
      let record = stream.memory.records(of: shard.id).randomElement(using: &random),
      let sequence = record.sequenceNumber.uint64Value
    else { return }
    faults.strike(.trim)
    stream.memory.trim(shard.id, through: record.sequenceNumber)
    truth.excuse(stream.key(shard.id), through: sequence)
  }

  /// Retention forgets the oldest closed shard, whether it was read or not.
  private func remove(from shards: [Shard], of stream: SimulatedStream) {
    guard let oldest = shards.first, !oldest.isOpen else { return }
    // With the policy to stop there is no going on after a shard that is gone unread.
    let mayComeBack = faults.allows(.storeLosesTail) || faults.allows(.streamLosesTail)
    guard (leases[stream.key(oldest.id)]?.isEnded == true && !mayComeBack) || scenario.skipsTrimmed else {
      return
    }
    faults.strike(.removal)
    stream.olderListings.append((shards, scheduler.now + .seconds(120)))
    truth.remove(stream.key(oldest.id))
    stream.memory.remove(oldest.id)
  }

  /// Streams vanish from the catalogs and come back, and are disabled.
  func strikeStreams() {
    guard
      let kind = [FaultKind.streamVanishes, .streamDisabled].filter(faults.allows).randomElement(
        using: &random
      ),
      let stream = streams.filter(\.isListed).randomElement(using: &random)
    else { return }
    if kind == .streamVanishes {
      faults.strike(kind)
      history.add("\(stream.name) vanishes", at: scheduler.now)
      stream.isListed = false
      scheduler.schedule(after: faults.draw(.seconds(1)...(.seconds(600)))) { stream.isListed = true }
    } else if streams.count(where: \.isOpen) > 1, stream.isOpen {
      faults.strike(kind)
      history.add("\(stream.name) is disabled", at: scheduler.now)
      stream.olderListings.append((stream.memory.currentShards, scheduler.now + .seconds(120)))
      for shard in stream.memory.currentShards where shard.isOpen { truth.close(stream.key(shard.id)) }
      stream.memory.close()
    }
  }

  // MARK: The fleet

  func strikeFleet() {
    let kinds = [FaultKind.crash, .vanish, .pause, .bulkJoin, .bulkLeave, .connectionCut].filter(
      faults.allows
    )
    guard let kind = kinds.randomElement(using: &random) else { return }
    // The fault comes at any suspension point of the member's, not only where it waits for time to pass.
    let steps = Int.random(in: 1...60, using: &random)
    switch kind {
    case .bulkJoin: join(Int.random(in: 1...4, using: &random))
    case .bulkLeave: leave(Int.random(in: 1...3, using: &random))
    default:
      guard let member = staying.randomElement(using: &random) else { return }
      member.process.afterSteps(steps) { [unowned self] in strike(kind, member) }
    }
  }

  private func strike(_ kind: FaultKind, _ member: Member) {
    guard faults.allows(kind), !member.hasEnded, !member.isGone else { return }
    faults.strike(kind)
    switch kind {
    case .crash, .vanish:
      history.add("\(kind) \(member.name)", at: scheduler.now)
      member.crash(sessionsEndAfter: kind == .crash ? .milliseconds(2) : faults.draw(.zero...(.seconds(200))))
      // Another takes its place, sooner or later.
      scheduler.schedule(after: faults.draw(.zero...(.seconds(120)))) { [unowned self] in
        if faults.areOn { addMember() }
      }
    case .pause:
      history.add("pause \(member.name)", at: scheduler.now)
      member.process.pause()
      scheduler.schedule(after: faults.draw(.milliseconds(1)...(member.configuration.failover.interval * 2)))
      {
        member.process.resume()
      }
    default:
      history.add("cut \(member.name)", at: scheduler.now)
      member.cutConnections()
    }
  }

  private func join(_ count: Int) {
    guard staying.count + count <= 9 else { return }
    faults.strike(.bulkJoin)
    for _ in 0..<count { addMember() }
  }

  private func leave(_ count: Int) {
    guard staying.count > count else { return }
    faults.strike(.bulkLeave)
    for member in staying.shuffled(using: &random).prefix(count) {
      history.add("leave \(member.name)", at: scheduler.now)
      member.leave()
    }
  }

  // MARK: The store

  func strikeStore() {
    let kinds = [
      FaultKind.storeOutage, .storeRestart, .storePromotion, .storeLosesTail, .streamLosesTail,
    ].filter(faults.allows)
    guard let kind = kinds.randomElement(using: &random), isStoreUp else { return }
    faults.strike(kind)
    history.add("\(kind)", at: scheduler.now)
    let longest: Duration = kind == .storeOutage ? .seconds(180) : .seconds(20)
    setStoreUp(false)
    for member in members { member.link.cut() }
    endOutage(of: kind, after: faults.draw(.milliseconds(10)...longest))
  }

  private func endOutage(of kind: FaultKind, after pause: Duration) {
    scheduler.schedule(after: pause) { [unowned self] in
      guard kind == .storeOutage || startMayCome else { return endOutage(of: kind, after: .seconds(1)) }
      if kind == .storeLosesTail || kind == .streamLosesTail {
        promoteStandby(withStream: kind == .streamLosesTail)
      } else if kind != .storeOutage {
        store.restartServer()
        storeHasStarted()
      }
      if kind == .storePromotion {
        serverClock.jump(by: faults.draw(.zero...(.seconds(120))) - .seconds(60))
      }
      setStoreUp(true)
    }
  }

  /// An operator sets a checkpoint back, or starts what has stopped.
  func reset() {
    guard faults.allows(.reset), isStoreUp,
      let lease = leases.values.sorted(by: { $0.key < $1.key })
        .randomElement(using: &random)
    else { return }
    faults.strike(.reset)
    resetLease(lease, to: lease.isEnded || lease.stoppedReason != nil ? nil : .trimHorizon)
  }

  func resetLease(_ lease: Lease, to checkpoint: Checkpoint?) {
    server.start { [unowned self] in
      let call = StoreCall(method: .reset, member: "operator")
      done(call, try? await store.reset(lease.key, in: Self.scope, to: checkpoint))
    }
  }
}
